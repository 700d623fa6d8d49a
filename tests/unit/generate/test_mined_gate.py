"""What the judge's probabilities make of mined candidates."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from syneg import rejection, schemas
from syneg.generate import mined
from syneg.settings.generate import GateConfig, JudgeMinedConfig
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs
from tests.memory import MemoryTable, rows_of


def candidate(query_id: str, passage_id: str, sampler: str, place: int | None, **more: Any) -> dict[str, Any]:
    row = {"query_id": query_id, "passage_id": passage_id, "sampler": sampler, "rank": 0, "place": place}
    return row | {"reject_reason": None if place is not None else "positive"} | more


CANDIDATES = pa.Table.from_pylist(
    [
        candidate("q0", "p0", "dense", None),
        candidate("q0", "p1", "dense", 0),
        candidate("q0", "p2", "dense", 1),
        candidate("q0", "p3", "dense", 2),
        candidate("q0", "p2", "bm25", 0),  # brought by two samplers, judged once
        candidate("q0", "p3", "bm25", 1),
        candidate("q1", "p1", "dense", 0),
    ],
    schema=schemas.CANDIDATES,
)


def test_of_each_query_and_sampler_the_first_are_judged_once() -> None:
    pairs = mined._pairs(MemoryTable(CANDIDATES), per_sampler=2)
    found = list(zip(pairs["query_id"].to_pylist(), pairs["passage_id"].to_pylist(), strict=True))
    assert found == [("q0", "p1"), ("q0", "p2"), ("q0", "p3"), ("q1", "p1")]
    assert len(set(pairs["id"].to_pylist())) == 4
    first = mined._pairs(MemoryTable(CANDIDATES), per_sampler=1)
    assert set(first["id"].to_pylist()) == set(pairs["id"].to_pylist()) - {pairs["id"][2].as_py()}


def test_answers_and_what_was_not_judged_are_rejected(tmp_path: Path) -> None:
    pairs = mined._pairs(MemoryTable(CANDIDATES), per_sampler=1)  # (q0, p1), (q0, p2), (q1, p1)
    said = [
        {"id": name, "answer_probability": probability, "input_tokens": 9, "output_tokens": 1}
        for name, probability in zip(pairs["id"].to_pylist(), [0.9, 0.4, None], strict=True)
    ]
    judgements = pa.Table.from_pylist(said[::-1], schema=schemas.JUDGEMENTS)
    inputs = Inputs({"candidates": MemoryTable(CANDIDATES), "judgements": MemoryTable(judgements)})
    output = mined.gate(
        inputs,
        Context(ResourcesConfig(), tmp_path),
        gate=GateConfig(max_answer_probability=0.5),
        judge_mined=JudgeMinedConfig(enabled=True, per_sampler=1),
    )
    rows = schemas.conform(rows_of(output, "candidates"), schemas.CANDIDATES)
    assert callable(output.rows_in)
    assert output.rows_in() == rows.num_rows == CANDIDATES.num_rows
    assert rows["reject_reason"].to_pylist() == [
        "positive",
        "answers_query",
        "not_judged",
        "not_judged",
        None,
        "not_judged",
        None,  # the engine failed: kept
    ]
    assert rows["answer_probability"].null_count == 5
    assert set(rows["reject_reason"].drop_null().to_pylist()) <= set(rejection.REASONS["candidates"])
