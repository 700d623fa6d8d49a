"""The mining stage on a small corpus held in memory."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from syneg import schemas
from syneg.mine import stage
from syneg.settings.mine import Bm25Config, MineConfig, SamplerConfig
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs
from tests.memory import MemoryTable, rows_of

TEXTS = {
    "p0": "the red fox jumps over the fence",
    "p1": "The red fox  jumps over the fence",  # p0 again, spaced and cased otherwise
    "p2": "a red fox sleeps in its den",
    "p3": "the blue whale sings",
    "p4": "",
    "p5": "a fox and a whale",
}
QUERIES = [("q0", "where does the red fox jump", "train"), ("q1", "which whale sings", "test")]
QRELS = [("q0", "p0", 1), ("q0", "p3", 0), ("q1", "p3", 1)]


def vectors(ids: list[str], seed: int) -> MemoryTable:
    values = np.random.default_rng(seed).standard_normal((len(ids), 8))
    values = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)
    return MemoryTable(pa.table([ids, [row.tobytes() for row in values]], schema=schemas.vectors(8)))


@pytest.fixture
def inputs() -> Inputs:
    passages = pa.table([list(TEXTS), [""] * len(TEXTS), list(TEXTS.values())], schema=schemas.PASSAGES)
    queries = pa.Table.from_pylist(
        [dict(zip(schemas.QUERIES.names, row, strict=True)) for row in QUERIES], schema=schemas.QUERIES
    )
    qrels = pa.Table.from_pylist(
        [dict(zip(schemas.QRELS.names, row, strict=True)) for row in QRELS], schema=schemas.QRELS
    )
    return Inputs(
        {
            "passages": MemoryTable(passages),
            "queries": MemoryTable(queries),
            "qrels": MemoryTable(qrels),
            "passage_vectors": vectors(list(TEXTS), 1),
            "query_vectors": vectors([row[0] for row in QUERIES], 2),
        }
    )


def mined(inputs: Inputs, tmp_path: Path, rounds: int = 1, **samplers: SamplerConfig) -> list[dict]:
    config = MineConfig.model_validate({"samplers": samplers, "rounds": rounds})
    output = stage.run(inputs, Context(ResourcesConfig(), tmp_path), bm25=Bm25Config(), mine=config)
    table = rows_of(output, "candidates")
    assert output.rows_in == table.num_rows
    assert sum(sum(counts.values()) for counts in output.facts()["samplers"].values()) == table.num_rows
    return schemas.conform(table, schemas.CANDIDATES).to_pylist()


def test_only_training_queries_are_mined_for(inputs: Inputs, tmp_path: Path) -> None:
    rows = mined(inputs, tmp_path, bm25=SamplerConfig(), dense=SamplerConfig())
    assert {row["query_id"] for row in rows} == {"q0"}
    assert {row["sampler"] for row in rows} == {"bm25", "dense"}


def test_no_positive_no_copy_of_it_and_no_empty_passage_is_a_negative(inputs: Inputs, tmp_path: Path) -> None:
    rows = mined(inputs, tmp_path, dense=SamplerConfig())
    reasons = {row["passage_id"]: row["reject_reason"] for row in rows}
    assert reasons == {
        "p0": "positive",
        "p1": "same_text_as_positive",
        "p2": None,
        "p3": None,  # judged, but not relevant
        "p4": "empty_passage",
        "p5": None,
    }


def test_dense_scores_and_anchor_are_cosines(inputs: Inputs, tmp_path: Path) -> None:
    from syneg.search.dense import matrix

    query = matrix(inputs.tables["query_vectors"].table()["vector"])[0].astype(np.float64)
    passages = matrix(inputs.tables["passage_vectors"].table()["vector"]).astype(np.float64)
    expected = dict(zip(TEXTS, passages @ query, strict=True))
    for row in mined(inputs, tmp_path, dense=SamplerConfig()):
        assert row["score"] == pytest.approx(expected[row["passage_id"]], abs=1e-5)
        assert row["positive_score"] == pytest.approx(expected["p0"], abs=1e-5)


def test_margin_uses_the_sampler_s_own_scores(inputs: Inputs, tmp_path: Path) -> None:
    for row in mined(inputs, tmp_path, bm25=SamplerConfig(relative_margin=0.9)):
        limit = row["positive_score"] * (1 - 0.9)
        if row["passage_id"] in ("p2", "p3", "p5"):
            assert (row["reject_reason"] == "above_margin") == (row["score"] > limit)


def test_a_later_round_of_ance_mines_with_the_trained_vectors(inputs: Inputs, tmp_path: Path) -> None:
    samplers = {"ance": SamplerConfig(), "dense": SamplerConfig()}
    first = mined(inputs, tmp_path, rounds=2, **samplers)
    trained = {"tuned_passage_vectors": vectors(list(TEXTS), 3), "tuned_query_vectors": vectors(["q0", "q1"], 4)}
    second = mined(Inputs({**inputs.tables, **trained}), tmp_path, rounds=2, **samplers)
    swapped = Inputs({**inputs.tables, **{name.removeprefix("tuned_"): table for name, table in trained.items()}})

    def scores(rows: list[dict], sampler: str) -> dict[str, float]:
        return {row["passage_id"]: row["score"] for row in rows if row["sampler"] == sampler}

    assert scores(first, "ance") == scores(first, "dense") == scores(second, "dense")
    assert scores(second, "ance") == scores(mined(swapped, tmp_path, dense=SamplerConfig()), "dense")
    assert scores(second, "ance") != scores(second, "dense")


@pytest.mark.parametrize("settings", [{"samplers": {"ance": {}}}, {"samplers": {"dense": {}}, "rounds": 2}])
def test_ance_and_rounds_go_together(settings: dict) -> None:
    with pytest.raises(ValueError, match="go together"):
        MineConfig.model_validate(settings)
