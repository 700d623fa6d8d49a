"""TREC files, read back by ir-measures and by hand."""

from pathlib import Path

import ir_measures
import pyarrow as pa
import pytest

from syneg import schemas
from syneg.errors import BadInput
from syneg.export import trec
from tests.memory import MemoryTable

SCORED = ("query_id", "passage_id", "sampler", "rank", "score", "positive_score", "margin", "reject_reason")


def tables(**changed: list[tuple]) -> dict[str, MemoryTable]:
    rows: dict[str, list[tuple]] = {
        "queries": [("q0", "zero", "train"), ("q1", "one", "test")],
        "qrels": [("q0", "p0", 1), ("q1", "p1", 2)],
        "runs": [("base", "q1", "p1", 0, 0.9), ("base", "q1", "p2", 1, 0.5), ("tuned", "q1", "p2", 0, 0.8)],
        "candidates": [
            ("q0", "p3", "bm25", 0, 7.5, None, None, None),
            ("q0", "p0", "bm25", 1, 7.0, None, None, "positive"),
            ("q0", "p4", "random", 3, None, None, None, None),
        ],
    } | changed
    made = {}
    for name, values in rows.items():
        schema = getattr(schemas, name.upper())
        names = SCORED if name == "candidates" else schema.names
        records = [dict(zip(names, value, strict=True)) for value in values]
        made[name] = MemoryTable(pa.Table.from_pylist(records, schema=schema))
    return made


def test_runs_and_judgements_that_ir_measures_reads(tmp_path: Path) -> None:
    written = trec.write(tables(), "demo", str(tmp_path))
    assert written == {
        "runs/base.trec": 2,
        "runs/tuned.trec": 1,
        "candidates/bm25.trec": 1,
        "candidates/random.trec": 1,
        "qrels.train": 1,
        "qrels.test": 1,
    }
    qrels = list(ir_measures.read_trec_qrels(str(tmp_path / "qrels.test")))
    scores = {
        system: ir_measures.calc_aggregate(
            [ir_measures.parse_measure("RR@10")],
            qrels,
            ir_measures.read_trec_run(str(tmp_path / f"runs/{system}.trec")),
        )
        for system in ("base", "tuned")
    }
    assert [list(found.values()) for found in scores.values()] == [[1.0], [0.0]]


def test_candidates_are_those_that_were_kept(tmp_path: Path) -> None:
    trec.write(tables(), "demo", str(tmp_path))
    assert (tmp_path / "candidates/bm25.trec").read_text() == "q0 Q0 p3 1 7.5 demo-bm25\n"
    assert (tmp_path / "candidates/random.trec").read_text() == "q0 Q0 p4 4 -3.0 demo-random\n"


def test_equal_scores_keep_their_order(tmp_path: Path) -> None:
    """trec_eval puts passages of one score in the order of their ids from the end."""
    rows = [("base", "q1", "p1", 0, 0.5), ("base", "q1", "p2", 1, 0.5), ("base", "q1", "p3", 2, 0.5)]
    trec.write(tables(runs=rows), "my demo", str(tmp_path))
    written = [line.split(" ") for line in (tmp_path / "runs/base.trec").read_text().splitlines()]
    scores = [float(line[4]) for line in written]
    assert [line[2] for line in written] == ["p1", "p2", "p3"]
    assert scores[0] == 0.5 > scores[1] > scores[2] > 0.4999
    assert {len(line) for line in written} == {6}
    run = ir_measures.read_trec_run(str(tmp_path / "runs/base.trec"))
    qrels = list(ir_measures.read_trec_qrels(str(tmp_path / "qrels.test")))
    assert ir_measures.calc_aggregate([ir_measures.parse_measure("RR@10")], qrels, run).popitem()[1] == 1.0


def test_equal_scores_fall_beyond_a_block_as_well(tmp_path: Path) -> None:
    given = tables(runs=[("base", "q1", f"p{rank}", rank, 0.5) for rank in range(5)])
    in_blocks = MemoryTable(given["runs"].rows, block_rows=2)
    trec.ranking(in_blocks, "system", "base", "demo", str(tmp_path / "base.trec"))
    scores = [float(line.split(" ")[4]) for line in (tmp_path / "base.trec").read_text().splitlines()]
    assert scores == sorted(set(scores), reverse=True)
    assert len(scores) == 5


CANDIDATE = ("q0", "p 3", "bm25", 0, 7.5, None, None)


@pytest.mark.parametrize(
    ("table", "row", "said"),
    [
        ("runs", ("base", "q1", "p 2", 0, 0.9), "runs: the passage_id 'p 2'"),
        ("candidates", (*CANDIDATE, None), "candidates: the passage_id 'p 3'"),
        ("qrels", ("a b", "p1", 1), "qrels: the query_id 'a b'"),
    ],
)
def test_an_id_with_white_space_is_refused_before_anything_is_written(
    tmp_path: Path, table: str, row: tuple, said: str
) -> None:
    with pytest.raises(BadInput, match=f"{said} holds white space(.*)Give the collection ids without any"):
        trec.write(tables(**{table: [row]}), "demo", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_an_id_that_is_not_written_may_hold_white_space(tmp_path: Path) -> None:
    assert "runs/base.trec" in trec.write(tables(candidates=[(*CANDIDATE, "positive")]), "demo", str(tmp_path))


def test_judgements_of_every_split_that_is_there(tmp_path: Path) -> None:
    queries = [("q0", "zero", "dev"), ("q1", "one", "test")]
    written = trec.write(tables(queries=queries), "demo", str(tmp_path))
    assert {path: lines for path, lines in written.items() if "qrels" in path} == {"qrels.dev": 1, "qrels.test": 1}
    assert (tmp_path / "qrels.dev").read_text() == "q0 0 p0 1\n"
