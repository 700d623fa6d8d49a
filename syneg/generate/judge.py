"""Whether a text answers a query, by an LLM: the probability of yes against no in one token.

`judged` knows nothing of negatives: whatever has a query and a passage can be judged. `mined` gives it candidates.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.data
import ray.exceptions
from ray.data import Dataset

from syneg import schemas
from syneg.errors import BadInput, StageFailed
from syneg.generate import engine, prompts
from syneg.generate.advice import advice
from syneg.generate.answers import Answer
from syneg.generate.engines.asked import LIGHTLY, Decoding, Pieces
from syneg.generate.gating import negatives
from syneg.generate.requests import in_pieces
from syneg.generate.spending import untold
from syneg.generate.writing import blocks, root_cause
from syneg.keyset import KeySet
from syneg.settings.generate import Engine, GenerateConfig, JudgeConfig
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs, Output
from syneg.texts import first_words

TEXTS = pa.schema([("id", pa.string()), ("query", pa.string()), ("passage", pa.string())])
"""What is to be judged."""


def run(inputs: Inputs, context: Context, *, generate: GenerateConfig, judge: JudgeConfig) -> Output:
    """Judges every negative that was written. Reads answers; writes judgements. In the graph where `judge.enabled`.

    Raises:
        BadInput: the prompt or the model is not there, or the answers were recorded and no `judge.engine` is named.
        StageFailed: the engine failed more than `judge.max_error_rate` of the texts. The others are kept.
    """
    asked = engine_of(generate, judge)
    written = inputs.tables["answers"].dataset().map_batches(partial(_texts, generate=generate), **LIGHTLY)
    texts = ray.data.from_arrow_refs(written.materialize().to_arrow_refs())
    total, done = texts.count(), context.done("judgements")
    left = texts.map_batches(partial(_without, done=ray.put(done)), **LIGHTLY)
    return judged(left, total, total - len(done), judge, asked, context)


def engine_of(generate: GenerateConfig, judge: JudgeConfig) -> Engine:
    """Raises BadInput if nobody is named who could be asked."""
    asked = judge.engine or generate.engine
    if not asked.asks:
        raise BadInput("judge.engine: the answers are recorded, so there is no LLM to ask. Give judge.engine.")
    return asked


def engine_section(judge: JudgeConfig) -> str:
    """Where a config has the engine that judges."""
    return "judge.engine" if judge.engine else "generate.engine"


def judged(left: Dataset, total: int, open_rows: int, judge: JudgeConfig, asked: Engine, context: Context) -> Output:
    """`left`: the rows of `TEXTS` that no attempt has judged yet, `open_rows` of `total`."""
    facts = {"judged": total, "model": engine.identity(asked)}
    counted = _Counted()
    for block in context.stored("judgements", schemas.JUDGEMENTS).blocks():
        counted.add(block)
    rows: Iterator[pa.Table] = iter(())
    if open_rows:
        found = judgements(left, judge, asked, context.resources, context.stake.rows)
        rows = _kept(found, total, open_rows, judge, asked, counted, context)
    return Output(total, {"judgements": rows}, facts=lambda: facts | counted.facts())


@dataclass
class _Counted:
    """The tokens of all judgements, those of earlier attempts included."""

    input_tokens: int = 0
    output_tokens: int = 0
    untold: int = 0  # judgements whose tokens the engine did not report

    def add(self, block: pa.Table) -> None:
        """Rows of schemas.JUDGEMENTS."""
        read = block["input_tokens"].to_numpy()
        self.input_tokens += int(read.sum())
        self.output_tokens += int(block["output_tokens"].to_numpy().sum())
        judged = block["answer_probability"].is_valid().to_numpy()
        self.untold += int((judged & (read == 0)).sum())

    def facts(self) -> dict[str, Any]:
        tokens = {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens}
        return tokens | ({"warnings": [untold(self.untold)]} if self.untold else {})


def judgements(
    texts: Dataset, judge: JudgeConfig, asked: Engine, resources: ResourcesConfig, at_stake: int = 256
) -> Dataset:
    """Rows of `TEXTS` as rows of schemas.JUDGEMENTS and the `error` of those that could not be judged."""
    pieces = in_pieces(texts, Pieces.of(resources.generate, at_stake).rows)
    rendered = pieces.map_batches(partial(_render, template=template(judge), judge=judge), **LIGHTLY)
    how = Decoding(max_tokens=1, max_model_len=judge.max_model_len, choices=("Yes", "No"))
    return engine.answer(rendered, ["id"], how, asked, resources, at_stake).map_batches(_columns, **LIGHTLY)


def template(judge: JudgeConfig) -> str:
    """Raises BadInput if the file is missing or lacks a placeholder."""
    return prompts.template(judge.prompt, ("mark", "query", "document"), "judge.prompt")


def _texts(batch: pa.Table, generate: GenerateConfig) -> pa.Table:
    rows = [
        {"id": name, "query": row["query"], "passage": negative.hard_negative}
        for row in batch.to_pylist()
        for name, negative in negatives(row, generate)
        if isinstance(negative, Answer)
    ]
    return pa.Table.from_pylist(rows, TEXTS)


def _without(batch: pa.Table, done: "ray.ObjectRef[KeySet]") -> pa.Table:
    if not batch.num_rows:
        return TEXTS.empty_table()
    return batch.filter(pa.array(~ray.get(done).mask(batch["id"])))


def _render(batch: pa.Table, template: str, judge: JudgeConfig) -> pa.Table:
    rendered = []
    for row in batch.to_pylist():
        passage = first_words(row["passage"], judge.max_passage_words)
        values = {
            "mark": prompts.fence(0, row["id"], row["query"], passage),
            "query": row["query"],
            "document": passage,
        }
        rendered.append([{"role": "user", "content": prompts.filled(template, values)}])
    seeds = pa.array([0] * batch.num_rows, pa.int64())
    return batch.append_column("messages", pa.array(rendered, prompts.MESSAGES)).append_column("seed", seeds)


def _columns(batch: pa.Table) -> pa.Table:
    return batch.rename_columns(
        ["answer_probability" if name == "probability" else name for name in batch.column_names]
    ).select([*schemas.JUDGEMENTS.names, "error"])


def _kept(
    found: Dataset,
    total: int,
    open_rows: int,
    judge: JudgeConfig,
    asked: Engine,
    counted: _Counted,
    context: Context,
) -> Iterator[pa.Table]:
    """Rows of schemas.JUDGEMENTS. What the engine failed comes at the end: where there is none, it is asked again by
    the next attempt."""
    judged, failures, section = 0, list[pa.Table](), engine_section(judge)
    see = f"See to {section} and resources.generate, then run the same command again."
    context.progress(f"0/{open_rows} judged, the first take longest")
    try:
        for block in blocks(found):
            counted.add(block)
            failed = block.filter(pc.field("error").is_valid())
            failures += [failed.select(schemas.JUDGEMENTS.names)] if failed.num_rows else []
            errors = sum(rows.num_rows for rows in failures)
            judged += block.num_rows - failed.num_rows
            context.progress(f"{judged}/{open_rows} judged" + (f", {errors} failed" if errors else ""))
            yield block.filter(pc.field("error").is_null()).select(schemas.JUDGEMENTS.names)
            if failed.num_rows and errors > judge.max_error_rate * total:
                last = failed["error"][-1].as_py()
                raise StageFailed(
                    f"judge: the engine failed {errors} of {total} texts, more than judge.max_error_rate="
                    f"{judge.max_error_rate}. The last one said: {last}\n"
                    f"{_saved(judged)}{advice(last, asked, section, see)}"
                )
        if failures:
            yield pa.concat_tables(failures)
    except ray.exceptions.RayError as error:
        cause = root_cause(error)
        raise StageFailed(
            f"judge: the engine stopped after {judged} of {open_rows} texts: {cause}\n"
            f"{_saved(judged)}{advice(cause, asked, section, see)}"
        ) from error


def _saved(judged: int) -> str:
    return f"What was judged is kept ({judged:,}). " if judged else ""
