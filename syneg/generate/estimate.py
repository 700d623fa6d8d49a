"""What generation would cost, from a sample of the requests, before any is made."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from syneg.errors import BadInput
from syneg.generate.gate import asked_ratio
from syneg.generate.requests import REQUEST, RequestMaker, training_pairs
from syneg.generate.stage import lists_of, prompt_of
from syneg.generate.writing import render
from syneg.passages import COLUMNS, texts_by_id
from syneg.settings.generate import GenerateConfig, VllmEngine
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Source
from syneg.store import models

_SAMPLE = 64  # pairs
_CHARS_PER_TOKEN = 4.0  # of English, where the model's tokenizer is not at hand
_FRAME = 15  # tokens of the JSON around the texts


@dataclass(frozen=True)
class Estimate:
    requests: int
    input_tokens: int
    output_tokens: int  # expected: reasoning to half its limit, negatives as long as asked for
    most_output_tokens: int  # if every answer runs into max_tokens
    counted_by: str  # how tokens were counted

    def price(self, generate: GenerateConfig) -> float:
        return generate.budget.price(self.input_tokens, self.output_tokens)

    def taken(self, resources: ResourcesConfig) -> tuple[str, float]:
        """The kind of device that is busy, and for how many seconds one of them is, at the rates of the config."""
        rates, workers = resources.estimate, resources.generate
        seconds = (
            self.input_tokens / rates.prompt_tokens_per_second + self.output_tokens / rates.output_tokens_per_second
        )
        return ("GPU", seconds * workers.gpus) if workers.gpus else ("CPU", seconds * workers.cpus)


def estimate(passages: Source, queries: Source, qrels: Source, generate: GenerateConfig) -> Estimate:
    """Renders the prompts of a few pairs, counts their tokens, and multiplies. Retries and the judge are not counted.

    Mining may not have run, so an example of the style is taken to be as long as the positive.

    Raises:
        BadInput: the prompt, the attributes or the model is not there.
    """
    pairs = training_pairs(queries.table(), qrels.table(), lambda: passages.blocks(COLUMNS), generate.max_pairs)
    few = pairs.slice(0, _SAMPLE).to_pylist()
    if not few or not generate.engine.asks:
        return Estimate(pairs.num_rows * generate.samples_per_pair, 0, 0, 0, "nothing is asked")
    positives = texts_by_id(passages, [pair["positive_id"] for pair in few])
    maker = RequestMaker(generate.model_copy(update={"samples_per_pair": 1}), lists_of(generate), "", "")
    rows = []
    for pair in few:
        positive = positives[pair["positive_id"]]
        rows += maker.requests(pair | {"positive": positive, "example": positive if generate.style_example else ""})
    rendered = render(pa.Table.from_pylist(rows, REQUEST), prompt_of(generate), generate.seed)
    prompts = [messages[0]["content"] for messages in rendered["messages"].to_pylist()]
    counted_by, tokens = _tokens(prompts, generate)
    chars_per_token = sum(map(len, prompts)) / max(tokens, 1)
    requests = pairs.num_rows * generate.samples_per_pair
    written = sum(_expected(row, generate, chars_per_token) for row in rows)
    return Estimate(
        requests,
        round(tokens / len(rows) * requests),
        round(written / len(rows) * requests),
        generate.max_tokens * requests,
        counted_by,
    )


def _expected(row: dict, generate: GenerateConfig, chars_per_token: float) -> float:
    negative = min(generate.max_negative_chars, len(row["positive"]) * asked_ratio(row["length"]))
    chars = generate.negatives_per_answer * max(negative, generate.min_negative_chars)
    chars += generate.max_reasoning_chars / 2 if generate.reflection else 0
    return min(generate.max_tokens, _FRAME + chars / chars_per_token)


def _tokens(texts: list[str], generate: GenerateConfig) -> tuple[str, int]:
    """By the model's own tokenizer where its file is here, else by the number of characters."""
    file = _tokenizer(generate)
    if file is None:
        return f"{_CHARS_PER_TOKEN:g} characters a token", round(sum(map(len, texts)) / _CHARS_PER_TOKEN)
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    return "the model's tokenizer", sum(len(encoded.ids) for encoded in tokenizer.encode_batch(texts))


def _tokenizer(generate: GenerateConfig) -> Path | None:
    if not isinstance(generate.engine, VllmEngine):
        return None
    try:
        file = models.locate(generate.engine.model, "generate.engine.model") / "tokenizer.json"
    except BadInput:
        return None
    return file if file.is_file() else None
