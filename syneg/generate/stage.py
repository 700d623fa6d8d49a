"""Phase 1 as two stages: `run` has the LLM write, which is expensive; `check` gates what it wrote, which is cheap.

They are two because whether a negative duplicates another is known only when all are written, while what was written
has to be stored piece by piece so that a killed attempt costs no token twice. It also leaves the gate's settings free
to change.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from syneg import schemas
from syneg.encoder.recipe import base_model
from syneg.generate import attributes, engine, forbidden, gating, prompts, writing
from syneg.generate.attributes import AttributeLists
from syneg.generate.engines.asked import Pieces
from syneg.generate.prompts import Prompt
from syneg.generate.requests import RequestMaker, dataset, requests, training_pairs
from syneg.generate.shown import Shown
from syneg.generate.spending import Spent
from syneg.generate.survey import Survey, survey
from syneg.keyset import KeySet
from syneg.passages import COLUMNS
from syneg.settings.encoder import EncoderConfig
from syneg.settings.generate import Budget, GateConfig, GenerateConfig
from syneg.stage import Context, Inputs, Output

_COUNTED = ["negative_id", "finish_reason", "input_tokens", "output_tokens"]


def run(inputs: Inputs, context: Context, *, generate: GenerateConfig) -> Output:
    """Asks for `samples_per_pair` answers for every (training query, relevant passage with a text).

    Reads passages, queries and qrels, and candidates where `style_example` is set; writes answers, one row a request,
    whatever came of it.

    Raises:
        BadInput: the prompt, the attributes, the model, the key or the recorded answers are not there or not as
            expected.
        StageFailed: the engine failed more than `max_error_rate` of the requests, the budget is spent, or the engine
            does not tell what is spent. The other answers are kept.
    """
    prompt, lists = prompt_of(generate), lists_of(generate)
    # Recorded answers were written to a prompt that is not known here.
    version = prompt.version if generate.engine.asks else generate.engine.kind
    maker = RequestMaker(generate, lists, version, engine.identity(generate.engine))
    tables = inputs.tables
    pairs = training_pairs(
        tables["queries"].table(),
        tables["qrels"].table(),
        partial(tables["passages"].blocks, COLUMNS),
        generate.max_pairs,
    )
    done = context.done("answers")
    pieces = Pieces.of(context.resources.generate, writing.at_stake(context))
    shown = Shown(tables["passages"], tables.get("candidates"))
    made = partial(dataset, pairs, shown, maker, batch_rows=pieces.rows)
    spent = Spent(tells=generate.engine.asks)
    saved = Counter[str](rows=0, input_tokens=0, output_tokens=0)
    earlier, taken = context.earlier and context.earlier("answers", {}), KeySet()
    if earlier and len(earlier.keys):
        asked = (block["negative_id"].to_pylist() for block in requests(pairs, shown, maker, done))
        taken = KeySet.of(chain.from_iterable(asked)) & earlier.keys
    for block in context.stored("answers", schemas.ANSWERS).blocks(_COUNTED):
        was_taken = earlier.keys.mask(block["negative_id"]) if earlier else np.zeros(block.num_rows, bool)
        spent.add(block.filter(pa.array(~was_taken)))
        _count(block.filter(pa.array(was_taken)), saved)
    total = pairs.num_rows * generate.samples_per_pair
    open_requests = total - len(done) - len(taken)
    found = _counted(earlier.rows(taken), saved) if earlier else iter(())
    known = done | taken
    answers = writing.answers(made, known, open_requests, prompt, maker, spent, context) if open_requests else iter(())
    facts = {"requests": total, "engine": generate.engine.kind, "model": maker.model, "prompt_version": version}
    return Output(
        rows_in=total,
        tables={"answers": chain(found, answers)},
        facts=lambda: facts | {"taken_over": saved} | spent.facts(context.stake),
    )


def _counted(blocks: Iterator[pa.Table], saved: Counter[str]) -> Iterator[pa.Table]:
    for block in blocks:
        _count(block, saved)
        yield block


def _count(block: pa.Table, saved: Counter[str]) -> None:
    saved["rows"] += block.num_rows
    for name in ("input_tokens", "output_tokens"):
        saved[name] += int(block[name].to_numpy().sum())


def prompt_of(generate: GenerateConfig) -> Prompt:
    """The prompt as the settings have it."""
    return prompts.load(
        generate.prompt,
        reflection=generate.reflection,
        attributes=generate.attributes is not False,
        style=generate.style_example,
        layout=generate.layout,
        negatives=generate.negatives_per_answer,
    )


def lists_of(generate: GenerateConfig) -> AttributeLists | None:
    """The lists that attributes are drawn from; None where none are."""
    return None if generate.attributes is False else attributes.load(generate.attributes)


def check(
    inputs: Inputs, context: Context, *, generate: GenerateConfig, gate: GateConfig, encoder: EncoderConfig
) -> Output:
    """Parses and gates every answer. Reads answers, judgements where the judge was asked, and the corpus; writes
    synthetic, accepted and rejected.

    rows_in counts the negatives that were asked for: `negatives_per_answer` of each answer.
    """
    tables = inputs.tables
    probabilities = {}
    if "judgements" in tables:  # only where the judge was asked
        judgements = tables["judgements"].table(["id", "answer_probability"]).drop_null()
        probabilities = dict(zip(*(judgements[name].to_pylist() for name in judgements.column_names), strict=True))
    rows = gating.gated(
        tables["answers"].dataset(), probabilities, generate, gate, encoder, base_model(encoder), context.resources
    ).materialize()
    threshold = gate.max_duplicate_similarity
    passages = forbidden.forbidden(tables["passages"], tables["queries"].table(), tables["qrels"].table(), threshold)
    # In a task of its own: a million rows are 230 MB there, and only the few that are rejected come back.
    found: Survey = ray.get(
        _survey.remote(rows.to_arrow_refs(), passages.materialize().to_arrow_refs(), threshold, generate.budget)  # type: ignore[arg-type]
    )
    facts: dict[str, Any] = found.facts | {"engine": generate.engine.kind, "layout": generate.layout}
    synthetic = (_with_reasons(block, found.reasons) for block in writing.blocks(rows))
    return Output(rows_in=facts["requests"], tables={"synthetic": synthetic}, facts=lambda: facts)


@ray.remote
def _survey(
    rows: list["ray.ObjectRef[pa.Table]"],
    passages: list["ray.ObjectRef[pa.Table]"],
    threshold: float,
    budget: Budget,
) -> Survey:
    return survey(lambda: (ray.get(ref) for ref in rows), lambda: (ray.get(ref) for ref in passages), threshold, budget)


def _with_reasons(block: pa.Table, found: dict[str, str]) -> pa.Table:
    pairs = zip(block["negative_id"].to_pylist(), block["reject_reason"].to_pylist(), strict=True)
    reasons = [reason or found.get(name) for name, reason in pairs]
    return schemas.with_columns(block, reject_reason=reasons).select(schemas.SYNTHETIC.names)
