"""Queries of one text under several ids: what answers one of them answers all."""

from pathlib import Path

import pyarrow as pa
import pytest

from syneg import schemas
from syneg.mine import stage
from syneg.stage import Inputs
from tests.memory import MemoryTable, rows_of
from tests.unit.mine.test_stage import output_of, vectors

TEXTS = {
    "tides-a": "the moon causes tides",
    "tides-b": "tides follow the pull of sun and moon",
    "tides-c": "what causes tides is asked in school",
    "waves": "wind causes waves",
}
QUERIES = [("q1", "what causes tides", "train"), ("q2", "What  causes tides", "train"), ("q3", "tides", "train")]


@pytest.fixture
def inputs() -> Inputs:
    passages = pa.table([list(TEXTS), [""] * len(TEXTS), list(TEXTS.values())], schema=schemas.PASSAGES)
    queries = pa.table(list(map(list, zip(*QUERIES, strict=True))), schema=schemas.QUERIES)
    positives = [["q1", "q2", "q3"], ["tides-a", "tides-b", "waves"], pa.array([1, 1, 1], pa.int32())]
    tables = {"passages": passages, "queries": queries, "qrels": pa.table(positives, schema=schemas.QRELS)}
    of_queries = vectors([row[0] for row in QUERIES], 2)
    stored = {name: MemoryTable(table) for name, table in tables.items()}
    return Inputs({**stored, "passage_vectors": vectors(list(TEXTS), 1), "query_vectors": of_queries})


@pytest.mark.parametrize("shard_queries", [1, 8])
def test_its_positives_are_no_negatives_of_the_other(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard_queries: int
) -> None:
    monkeypatch.setattr(stage, "_SHARD_QUERIES", shard_queries)
    output = output_of(inputs, tmp_path, samplers={"bm25": {}, "dense": {}})
    rows = rows_of(output, "candidates").to_pylist()
    rejected = {(row["query_id"], row["passage_id"]) for row in rows if row["reject_reason"] == "positive"}
    twins = {(query, passage) for query in ("q1", "q2") for passage in ("tides-a", "tides-b")}
    assert rejected == twins | {("q3", "waves")}
    assert {row["passage_id"] for row in rows if row["query_id"] == "q1" and row["reject_reason"] is None} == {
        "tides-c",
        "waves",
    }


def test_nor_are_they_drawn_for_a_short_query(inputs: Inputs, tmp_path: Path) -> None:
    output = output_of(inputs, tmp_path, samplers={"bm25": {"window_end": 1}}, least=4, on_short="random")
    rows = rows_of(output, "candidates").to_pylist()
    drawn = {(row["query_id"], row["passage_id"]) for row in rows if row["sampler"] == "random"}
    assert drawn
    assert not drawn & {(query, passage) for query in ("q1", "q2") for passage in ("tides-a", "tides-b")}


def test_nothing_is_mined_without_queries(inputs: Inputs, tmp_path: Path) -> None:
    less = Inputs({**inputs.tables, "queries": MemoryTable(schemas.QUERIES.empty_table())})
    assert rows_of(output_of(less, tmp_path, samplers={"bm25": {}}), "candidates").num_rows == 0
