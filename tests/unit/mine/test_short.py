"""Queries and samplers for which little is left: random passages that fill up, copies, and what is said of it."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from syneg import schemas
from syneg.stage import Inputs
from tests.memory import MemoryTable, rows_of
from tests.unit.mine.test_stage import many, output_of, vectors


@pytest.mark.parametrize("least", [150, 290])
def test_random_passages_fill_up_to_any_number(tmp_path: Path, least: int) -> None:
    output = output_of(many(400), tmp_path, samplers={"bm25": {"window_end": 5}}, least=least, on_short="random")
    rows = [row for row in rows_of(output, "candidates").to_pylist() if row["reject_reason"] is None]
    texts = {row["passage_id"]: row["text"] for row in many(400).tables["passages"].table().to_pylist()}
    for query in {row["query_id"] for row in rows}:
        own = [texts[row["passage_id"]] for row in rows if row["query_id"] == query]
        assert len(own) == len(set(own)) == least
    assert not any("mine.least" in warning for warning in output.facts()["warnings"])


def copies(count: int) -> Inputs:
    """`count` copies of one passage, the positive, and two others; vectors of their own."""
    texts = ["the same passage"] * count + ["what answers it", "another thing", "a third one altogether"]
    ids = [f"p{row}" for row in range(len(texts))]
    queries = pa.table([["q0"], ["same passage please"], ["train"]], schema=schemas.QUERIES)
    return Inputs(
        {
            "passages": MemoryTable(pa.table([ids, [""] * len(ids), texts], schema=schemas.PASSAGES)),
            "queries": MemoryTable(queries),
            "qrels": MemoryTable(pa.table([["q0"], [f"p{count}"], pa.array([1], pa.int32())], schema=schemas.QRELS)),
            "passage_vectors": vectors(ids, 3),
            "query_vectors": vectors(["q0"], 4),
        }
    )


def test_copies_under_other_ids_are_one_passage(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "samplers": {"random": {"window_end": 2}, "bm25": {"window_end": 1}},
        "on_short": "random",
    }
    output = output_of(copies(200), tmp_path, **settings, least=3)
    rows = [row["passage_id"] for row in rows_of(output, "candidates").to_pylist() if row["reject_reason"] is None]
    assert output.facts()["short"]["queries"] == 1
    assert output.facts()["short"]["unfilled"] == 0
    assert {"p201", "p202"} < set(rows)
    output = output_of(copies(200), tmp_path, **settings, least=4)
    rows_of(output, "candidates")
    assert output.facts()["short"]["unfilled"] == 1
    assert any(warning.startswith("1 query stayed below mine.least=4") for warning in output.facts()["warnings"])


@pytest.mark.parametrize(
    ("samplers", "said"),
    [
        ({"dense": {"min_score": 1.5}}, "dense: below_min_score rejects"),
        ({"dense": {"window_start": 500, "window_end": 600}}, "dense: nothing is left."),
        ({"simans": {"window_start": 500, "window_end": 600}}, "simans: it ranked no passage."),
        ({"simans": {"window_end": 1}}, "simans: its window leaves no choice"),
        ({"dense": {"window_start": 95, "window_end": 100}}, None),
        ({"simans": {"window_end": 100}}, None),
    ],
)
def test_what_leaves_next_to_nothing_is_warned_of(tmp_path: Path, samplers: dict, said: str | None) -> None:
    output = output_of(many(150), tmp_path, samplers=samplers)
    rows_of(output, "candidates")
    warnings = output.facts()["warnings"]
    assert [warning[: len(said)] for warning in warnings] == [said] if said else warnings == []
