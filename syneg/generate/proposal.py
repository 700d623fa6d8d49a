"""Lists of attributes for a collection that nobody described, proposed by the LLM from a sample of its passages."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import ray.data
import ray.exceptions
import yaml

from syneg.errors import BadInput, StageFailed
from syneg.generate import engine, prompts
from syneg.generate.advice import advice
from syneg.generate.answers import object_in
from syneg.generate.attributes import AttributeLists
from syneg.generate.engines.asked import Decoding
from syneg.generate.keys import digest
from syneg.generate.writing import root_cause
from syneg.passages import COLUMNS, named_texts
from syneg.redaction import redacted
from syneg.settings.generate import GenerateConfig
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Source
from syneg.texts import first_words, storable

_TEMPLATE = Path(__file__).with_name("proposal.txt")
_WORDS = 60  # of a passage that are shown
_LISTS = ("domain_name", "difficult_level")
_LENGTHS = ("approximately the same as", "slightly shorter than", "slightly longer than")
_NAME = {"type": "string", "minLength": 3, "maxLength": 80}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "domain_name": {"type": "array", "items": _NAME, "minItems": 5, "maxItems": 10},
        "difficult_level": {"type": "array", "items": _NAME, "minItems": 2, "maxItems": 3},
    },
    "required": list(_LISTS),
    "additionalProperties": False,
}


def sample(passages: Source, count: int) -> list[str]:
    """The texts of `count` passages, those whose ids have the smallest hashes."""
    chosen: list[tuple[str, str]] = []
    for block in passages.blocks(COLUMNS):
        own = [(digest("proposal", name), text) for name, text in named_texts(block) if text]
        chosen = sorted([*chosen, *own])[:count]
    return [text for _, text in chosen]


def propose(texts: list[str], generate: GenerateConfig, resources: ResourcesConfig) -> AttributeLists:
    """Asks once.

    Raises:
        BadInput: the engine is one of recorded answers.
        StageFailed: the engine stopped or failed, or its answer cannot be used.
    """
    if not generate.engine.asks:
        raise BadInput("generate.engine: recorded answers cannot be asked anything. Give a vllm or an openai engine.")
    mark = prompts.fence(generate.seed, "proposal", *texts)
    shown = "\n".join(f"{mark}\n{first_words(text, _WORDS)}\n{mark}" for text in texts)
    template = prompts.template(str(_TEMPLATE), ("mark", "documents"), "the package's proposal.txt")
    message = {"role": "user", "content": prompts.filled(template, {"mark": mark, "documents": shown})}
    request = pa.table(
        {"id": ["proposal"], "messages": pa.array([[message]], prompts.MESSAGES), "seed": [generate.seed]}
    )
    decoding = Decoding(
        generate.max_tokens, generate.max_model_len, generate.temperature, generate.top_p, schema=_SCHEMA
    )
    answered = engine.answer(ray.data.from_blocks([request]), ["id"], decoding, generate.engine, resources)
    try:
        (row,) = answered.take_all()
    except ray.exceptions.RayError as error:
        raise _failed("stopped", root_cause(error), generate) from error
    if row["error"]:
        raise _failed("failed", row["error"], generate)
    return lists(row["answer"])


def _failed(what: str, cause: str, generate: GenerateConfig) -> StageFailed:
    see = "See to generate.engine and resources.generate, then run the same command again."
    return StageFailed(
        f"attributes: the engine {what}: {cause}\n{advice(cause, generate.engine, 'generate.engine', see)}"
    )


def lists(answer: str) -> AttributeLists:
    """The lists in an answer, without repetitions. Raises StageFailed if there are none."""
    content = object_in(answer, *_LISTS) or {}
    found = {name: _texts(content.get(name)) for name in _LISTS}
    if not all(found.values()):
        raise StageFailed(
            f"attributes: the LLM gave no lists ({redacted(answer)[:200]!r}). Ask again with another "
            "generate.seed, more generate.max_tokens, fewer --passages, or a larger model."
        )
    return AttributeLists(**found, length=_LENGTHS)


def _texts(values: Any) -> tuple[str, ...]:
    """Those that are not blank, each once and without secrets; none where `values` is no list of texts."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        return ()
    return tuple(dict.fromkeys(text for value in values if (text := redacted(storable(value)).strip())))


def as_yaml(found: AttributeLists, passages: int) -> str:
    head = f"# Proposed by an LLM from {passages} passages. Review before use: these words go into every prompt.\n"
    values = {
        "domain_name": list(found.domain_name),
        "difficult_level": list(found.difficult_level),
        "length": list(found.length),
    }
    return head + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
