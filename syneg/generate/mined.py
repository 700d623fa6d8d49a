"""The judge over mined candidates, and the gate that goes by what it says.

Two stages, in the graph where `judge_mined.enabled`, between mining and the mix: one asks and resumes by row, the other
writes the candidates anew. The mix, the report and the exports then read the candidates of the gate.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.data

from syneg.generate import judge as judging
from syneg.generate.engines.asked import LIGHTLY
from syneg.generate.keys import digest
from syneg.ids import rows_of
from syneg.passages import texts_by_id
from syneg.schemas import CANDIDATES, with_columns
from syneg.settings.generate import GateConfig, GenerateConfig, JudgeConfig, JudgeMinedConfig
from syneg.stage import Context, Inputs, Output, Source

_PAIRS_AT_ONCE = 16_384  # whose passages a task fetches, in one pass over the corpus
_PAIR = ["query_id", "passage_id"]


def judge(
    inputs: Inputs, context: Context, *, generate: GenerateConfig, judge: JudgeConfig, judge_mined: JudgeMinedConfig
) -> Output:
    """Judges the candidates that the mix may take: of each query and sampler the first `per_sampler` that all filters
    of mining left. Reads candidates, passages and queries; writes judgements, one row a (query, passage).

    The driver holds the ids of these pairs.

    Raises:
        BadInput: the prompt or the model is not there, or the answers were recorded and no `judge.engine` is named.
        StageFailed: the engine failed more than `judge.max_error_rate` of the pairs. The others are kept.
    """
    asked = judging.engine_of(generate, judge)
    pairs = _pairs(inputs.tables["candidates"], judge_mined.per_sampler)
    done = context.done("judgements")
    left = pairs.filter(pa.array(~done.mask(pairs["id"])))
    texts = _texts(left, inputs.tables["queries"], inputs.tables["passages"])
    return judging.judged(texts, pairs.num_rows, left.num_rows, judge, asked, context)


def _pairs(candidates: Source, per_sampler: int) -> pa.Table:
    """id, query_id, passage_id of what is to be judged, in the order of queries and passages."""
    chosen = [
        block.filter(pc.field("place") < per_sampler).select(_PAIR) for block in candidates.blocks([*_PAIR, "place"])
    ]
    pairs = pa.concat_tables([CANDIDATES.empty_table().select(_PAIR), *chosen]).group_by(_PAIR).aggregate([])
    pairs = pairs.sort_by([(name, "ascending") for name in _PAIR])
    return pairs.add_column(0, "id", pa.array(_ids(pairs), pa.string()))


def _ids(pairs: pa.Table) -> list[str]:
    return [digest(*pair)[:32] for pair in zip(*(pairs[name].to_pylist() for name in _PAIR), strict=True)]


def _texts(pairs: pa.Table, queries: Source, passages: Source) -> ray.data.Dataset:
    """Rows of `judging.TEXTS`, made piece by piece on workers; lazy."""
    asked = queries.where("query_id", pairs["query_id"].unique().to_pylist(), ["query_id", "text"])
    row = rows_of(pairs["query_id"], asked["query_id"])
    pairs = pairs.append_column("query", asked["text"].take(pa.array(row)))
    starts = range(0, max(1, pairs.num_rows), _PAIRS_AT_ONCE)
    pieces = [pairs.slice(start, _PAIRS_AT_ONCE) for start in starts]
    read = partial(_with_passages, passages=passages)
    return ray.data.from_blocks(pieces).map_batches(read, **LIGHTLY)


def _with_passages(pairs: pa.Table, passages: Source) -> pa.Table:
    if not pairs.num_rows:
        return judging.TEXTS.empty_table()
    texts = texts_by_id(passages, pairs["passage_id"].unique().to_pylist())
    read = pa.array([texts[name] for name in pairs["passage_id"].to_pylist()], pa.string())
    return pa.table([pairs["id"], pairs["query"], read], schema=judging.TEXTS)


def gate(inputs: Inputs, context: Context, *, gate: GateConfig, judge_mined: JudgeMinedConfig) -> Output:
    """The candidates of mining again. Rejected as "answers_query" is what the judge says answers its query with more
    than `gate.max_answer_probability`, the same limit as for synthetic negatives; as "not_judged" what ranks behind
    the first `judge_mined.per_sampler` of its query and sampler. Reads candidates and judgements.

    A pair that the engine failed to judge is kept, as a synthetic negative is. Memory is bounded by one block of
    candidates and 40 bytes a judgement.
    """
    said = _Said.of(inputs.tables["judgements"].table(["id", "answer_probability"]))
    rows = 0

    def blocks() -> Iterator[pa.Table]:
        nonlocal rows
        for block in inputs.tables["candidates"].blocks():
            rows += block.num_rows
            context.progress(f"{rows:,} candidates")
            yield _gated(block, said, gate.max_answer_probability, judge_mined.per_sampler)

    return Output(lambda: rows, {"candidates": blocks()})


@dataclass(frozen=True)
class _Said:
    """The judge's probabilities, by id."""

    ids: np.ndarray  # S32 [N], sorted
    probabilities: np.ndarray  # float32 [N], NaN where it could not be asked

    @classmethod
    def of(cls, judgements: pa.Table) -> "_Said":
        ids = np.array(judgements["id"].to_pylist(), "S32")
        order = np.argsort(ids)
        return cls(ids[order], judgements["answer_probability"].to_numpy()[order])

    def of_pairs(self, pairs: pa.Table) -> np.ndarray:
        """float32 [N]; every pair was judged."""
        return self.probabilities[np.searchsorted(self.ids, np.array(_ids(pairs), "S32"))]


def _gated(block: pa.Table, said: _Said, limit: float, per_sampler: int) -> pa.Table:
    place = block["place"].to_numpy()  # NaN for what mining rejected
    judged = np.flatnonzero(place < per_sampler)
    probabilities = np.full(block.num_rows, np.nan, np.float32)
    probabilities[judged] = said.of_pairs(block.take(pa.array(judged)))
    reasons = block["reject_reason"].to_numpy().astype(object)
    reasons[place >= per_sampler] = "not_judged"
    reasons[probabilities > limit] = "answers_query"
    return with_columns(block, answer_probability=probabilities, reject_reason=reasons)
