"""Who is scored, against what, by which ranking."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from syneg import schemas
from syneg.evaluate import stage
from syneg.settings.evaluate import EvaluateConfig
from syneg.settings.mine import Bm25Config
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs, Output
from tests.memory import MemoryTable

NO_INSTANCES = schemas.INSTANCES.empty_table()
SETTINGS = EvaluateConfig(measures=("nDCG@3", "MRR@3", "MAP"), depth=3)
PASSAGES = {"p1": "red apples", "p2": "green pears", "p3": "blue plums", "q4": "an argument", "p5": "its counter"}
QUERIES = [("q1", "red", "test"), ("q3", "plums", "train"), ("q4", "an argument", "test")]
QRELS = [("q1", "p1", 1), ("q1", "p2", 0), ("q3", "p3", 1), ("q4", "p5", 1)]


def vectors(ids: list[str], matrix: np.ndarray) -> MemoryTable:
    schema = schemas.vectors(matrix.shape[1])
    rows = [row.tobytes() for row in (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float16)]
    return MemoryTable(pa.table([ids, pa.array(rows, schema.field("vector").type)], schema=schema))


def columns(rows: list[tuple]) -> list[list]:
    return [list(column) for column in zip(*rows, strict=True)]


def inputs(instances: pa.Table = NO_INSTANCES) -> Inputs:
    """Base sees nothing (the same vector everywhere), tuned everything (queries are their passages' vectors)."""
    names = list(PASSAGES)
    best = {"q1": "p1", "q3": "p3", "q4": "p5"}
    eye, flat = np.eye(len(names)), np.ones((len(names), len(names)))
    eye[names.index("q4")] = eye[names.index("p5")] + 0.001  # q4's own text is its nearest passage
    query_ids = [query for query, _, _ in QUERIES]
    aimed = np.stack([eye[names.index("q4" if query == "q4" else best[query])] for query in query_ids])
    return Inputs(
        {
            "passages": MemoryTable(
                pa.table([names, [""] * len(names), list(PASSAGES.values())], schema=schemas.PASSAGES)
            ),
            "queries": MemoryTable(pa.table(columns(QUERIES), schema=schemas.QUERIES)),
            "qrels": MemoryTable(pa.table(columns(QRELS), schema=schemas.QRELS)),
            "instances": MemoryTable(instances),
            "passage_vectors": vectors(names, flat),
            "query_vectors": vectors(query_ids, flat[: len(query_ids)]),
            "tuned_passage_vectors": vectors(names, eye),
            "tuned_query_vectors": vectors(query_ids, aimed),
        }
    )


def evaluated(tmp_path: Path, given: Inputs, settings: EvaluateConfig = SETTINGS) -> Output:
    return stage.run(given, Context(ResourcesConfig(), tmp_path), bm25=Bm25Config(), evaluate=settings)


def rows(output: Output, table: str) -> list[dict]:
    found = output.tables[table]
    assert isinstance(found, pa.Table)
    return schemas.conform(found, getattr(schemas, table.upper())).to_pylist()


def test_systems_are_ranked_and_scored_on_the_test_queries(tmp_path: Path) -> None:
    output = evaluated(tmp_path, inputs())
    assert (output.rows_in, output.rows_out, output.rejected) == (2, 2, {})
    scores = {(row["system"], row["measure"], row["query_id"]): row["value"] for row in rows(output, "scores")}
    assert {query for _, _, query in scores} == {"q1", "q4"}
    assert all(scores["tuned", measure, query] == 1 for measure in SETTINGS.measures for query in ("q1", "q4"))
    # Equal scores are ranked by id: p1, p2, p3, p5, q4. q1 finds p1 first; q4's p5 lies below the depth of 3.
    assert scores["base", "MRR@3", "q1"] == 1
    assert scores["base", "MAP", "q4"] == 0
    assert scores["bm25", "MAP", "q1"] == 1

    facts = output.facts()
    assert facts["queries"] == 2
    assert facts["measures"] == ["nDCG@3", "MRR@3", "MAP"]
    assert facts["scores"]["tuned"] == {"nDCG@3": 1.0, "MRR@3": 1.0, "MAP": 1.0}
    assert facts["scores"]["base"]["MRR@3"] == 0.5
    assert facts["differences"]["MAP"]["difference"] == 0.5
    assert {"difference", "low", "high", "p", "queries", "detectable"} <= set(facts["differences"]["MAP"])


def test_a_passage_with_its_querys_id_is_not_ranked_for_it(tmp_path: Path) -> None:
    ranked = [row for row in rows(evaluated(tmp_path, inputs()), "runs") if row["system"] == "tuned"]
    assert all(row["query_id"] != row["passage_id"] for row in ranked)
    for query in ("q1", "q4"):
        assert [row["rank"] for row in ranked if row["query_id"] == query] == [0, 1, 2]
    assert next(row["passage_id"] for row in ranked if row["query_id"] == "q4") == "p5"


def test_a_relevant_passage_that_has_the_query_s_id_is_ranked(tmp_path: Path) -> None:
    """Where ids are numbers, query 7 may well be answered by passage 7."""
    given = inputs()
    judged = pa.table([["q1", "q4"], ["p1", "q4"], [1, 1]], schema=schemas.QRELS)
    output = evaluated(tmp_path, Inputs({**given.tables, "qrels": MemoryTable(judged)}))
    first = [row for row in rows(output, "runs") if (row["system"], row["query_id"], row["rank"]) == ("tuned", "q4", 0)]
    assert [row["passage_id"] for row in first] == ["q4"]
    assert output.facts()["scores"]["tuned"]["MRR@3"] == 1.0


def test_bm25_is_left_out_when_it_is_not_asked_for(tmp_path: Path) -> None:
    output = evaluated(tmp_path, inputs(), EvaluateConfig(measures=("MAP",), depth=3, bm25=False))
    assert set(output.facts()["scores"]) == {"base", "tuned"}


def test_adore_ranks_the_base_s_passages_for_its_own_queries(tmp_path: Path) -> None:
    given = inputs()
    swapped = {
        "query_vectors": given.tables["tuned_query_vectors"],
        "passage_vectors": given.tables["tuned_passage_vectors"],
    }
    learnt = Inputs({**given.tables, **swapped, "adore_query_vectors": given.tables["query_vectors"]})
    scores = evaluated(tmp_path, learnt).facts()["scores"]
    assert set(scores) == {"base", "tuned", "adore", "bm25"}
    assert scores["base"]["MAP"] == 1.0  # the swapped vectors see everything, and for flat queries nothing
    assert scores["adore"]["MAP"] < 1.0


def test_a_test_query_that_was_trained_on_is_counted_and_listed(tmp_path: Path) -> None:
    negative = {"id": "n1", "text": "Its  COUNTER", "source": "synthetic", "score": None, "rank": None}
    instance = {"query_id": "t1", "query": "Red", "positive_id": "p9", "positive": "x y z", "negatives": [negative]}
    instances = pa.Table.from_pylist([instance | {"reject_reason": None}], schema=schemas.INSTANCES)
    output = evaluated(tmp_path, inputs(instances=instances))
    assert output.facts()["leaks"] == {"test_query": {"query": 1}, "test_positive": {"synthetic": 1}}
    assert [(row["test_id"], row["training_id"]) for row in rows(output, "leaks")] == [("p5", "n1"), ("q1", "t1")]
