"""The mining stage on a small corpus held in memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from syneg import rejection, schemas
from syneg.mine import stage
from syneg.on_ray.workers import InProcess
from syneg.settings.mine import Bm25Config, MineConfig, SamplerConfig
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs, Output
from syneg.vectors import unpack
from tests.memory import MemoryTable, rows_of
from tests.unit.mine.answers import answers

TEXTS = {
    "p0": "the red fox jumps over the fence",
    "p1": "The red fox  jumps over the fence",  # p0 again, spaced and cased otherwise
    "p2": "a red fox sleeps in its den",
    "p3": "the blue whale sings",
    "p4": "",
    "p5": "a fox and a whale",
}
QUERIES = [("q0", "where does the red fox jump", "train"), ("q1", "which whale sings", "test")]
BM25 = Bm25Config()
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


class Several(InProcess):
    """Three workers' shares of the work, one after the other."""

    count = 3


def output_of(inputs: Inputs, tmp_path: Path, workers: InProcess | None = None, **settings: object) -> Output:
    config = MineConfig.model_validate(settings)
    context = Context(ResourcesConfig(), tmp_path, workers=workers or InProcess())
    return stage.run(inputs, context, bm25=BM25, mine=config)


def mined(inputs: Inputs, tmp_path: Path, rounds: int = 1, **samplers: SamplerConfig) -> list[dict]:
    output = output_of(inputs, tmp_path, samplers=samplers, rounds=rounds)
    table = rows_of(output, "candidates")
    assert callable(output.rows_in)
    assert output.rows_in() == table.num_rows
    assert set(table["reject_reason"].drop_null().to_pylist()) <= set(rejection.REASONS["candidates"])
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


def test_a_query_that_is_a_passage_is_no_negative_of_itself(inputs: Inputs, tmp_path: Path) -> None:
    """As in ArguAna and Quora: p2 gets the text of q0, p5 its id."""
    passages = inputs.tables["passages"].table().to_pylist()
    passages[2]["text"], passages[5]["passage_id"] = "Where does the red fox  jump", "q0"
    table = MemoryTable(pa.Table.from_pylist(passages, schema=schemas.PASSAGES))
    rows = mined(Inputs({**inputs.tables, "passages": table}), tmp_path, random=SamplerConfig(window_end=6))
    reasons = {row["passage_id"]: row["reject_reason"] for row in rows}
    assert (reasons["p2"], reasons["q0"], reasons["p3"]) == ("query_itself", "query_itself", None)


def test_dense_scores_and_anchor_are_cosines(inputs: Inputs, tmp_path: Path) -> None:
    query = unpack(inputs.tables["query_vectors"].table()["vector"])[0].astype(np.float64)
    passages = unpack(inputs.tables["passage_vectors"].table()["vector"]).astype(np.float64)
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


EVERY: dict[str, Any] = {
    "samplers": {"random": {"window_end": 4}, "bm25": {}, "dense": {"window_end": 5}, "simans": {"window_start": 1}}
}


def many(count: int) -> Inputs:
    """A corpus with copies, of which every fifth passage is some query's positive."""
    random = np.random.default_rng(0)
    words = ["red", "fox", "den", "sea", "whale", "sings", "oak", "stone"]
    ids = [f"p{row:03d}" for row in random.permutation(count)]
    texts = [" ".join(random.choice(words, 6)) for _ in ids]
    texts[1::7] = texts[::7][: len(texts[1::7])]
    queries = pa.table([[f"q{row}" for row in range(20)], texts[:20], ["train"] * 20], schema=schemas.QUERIES)
    qrels = pa.table([queries["query_id"], ids[:20], pa.array([1] * 20, pa.int32())], schema=schemas.QRELS)
    return Inputs(
        {
            "passages": MemoryTable(pa.table([ids, [""] * count, texts], schema=schemas.PASSAGES)),
            "queries": MemoryTable(queries),
            "qrels": MemoryTable(qrels),
            "passage_vectors": vectors(ids, 1),
            "query_vectors": vectors([f"q{row}" for row in range(20)], 2),
        }
    )


def test_three_workers_and_small_slices_find_what_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [("query_id", "ascending"), ("sampler", "ascending"), ("rank", "ascending")]
    one = output_of(many(150), tmp_path, **EVERY)
    rows = rows_of(one, "candidates").sort_by(keys)
    monkeypatch.setattr(stage, "_SHARD_QUERIES", 7)
    monkeypatch.setattr(stage, "_SLICE_ROWS", 500)
    several = output_of(many(150), tmp_path, Several(), **EVERY)
    assert rows_of(several, "candidates").sort_by(keys).equals(rows)
    assert several.facts()["samplers"] == one.facts()["samplers"]
    assert set(rows["sampler"].to_pylist()) == {"random", "bm25", "dense", "simans"}


def test_all_six_samplers_stand_in_one_run_of_two_rounds(tmp_path: Path) -> None:
    given = many(60)
    ids, queries = (given.tables[name].table()["id"].to_pylist() for name in ("passage_vectors", "query_vectors"))
    learnt = {
        "tuned_passage_vectors": vectors(ids, 3),
        "tuned_query_vectors": vectors(queries, 4),
        "adore_query_vectors": vectors(queries, 5),
    }
    samplers = {name: {"window_end": 20} for name in ("random", "bm25", "dense", "ance", "simans", "adore")}
    output = output_of(Inputs({**given.tables, **learnt}), tmp_path, samplers=samplers, rounds=2)
    rows = rows_of(output, "candidates").to_pylist()
    assert {row["sampler"] for row in rows} == set(samplers) == set(output.facts()["samplers"])
    sources = {"dense": ("", ""), "simans": ("", ""), "ance": ("tuned_", "tuned_"), "adore": ("adore_", "")}
    by_id = {
        name: dict(zip(table.table()["id"].to_pylist(), unpack(table.table()["vector"]).astype(float), strict=True))
        for name, table in {**given.tables, **learnt}.items()
        if name.endswith("_vectors")
    }
    for row in rows:
        if row["sampler"] in sources:
            queries_of, passages_of = sources[row["sampler"]]
            query, passage = by_id[f"{queries_of}query_vectors"], by_id[f"{passages_of}passage_vectors"]
            expected = query[row["query_id"]] @ passage[row["passage_id"]]
            assert row["score"] == pytest.approx(expected, abs=1e-5)


def test_simans_draws_from_the_window_of_the_dense_ranking(tmp_path: Path) -> None:
    rows = mined(many(60), tmp_path, dense=SamplerConfig(), simans=SamplerConfig(window_start=3, window_end=12))
    for query in {row["query_id"] for row in rows}:
        own = [row for row in rows if row["query_id"] == query]
        window = {row["passage_id"] for row in own if row["sampler"] == "dense" and 3 <= row["rank"] < 12}
        drawn = [row for row in own if row["sampler"] == "simans"]
        assert {row["passage_id"] for row in drawn} == window
        assert sorted(row["rank"] for row in drawn) == list(range(9))
        assert "outside_window" not in {row["reject_reason"] for row in drawn}


def test_nearly_uniform_weights_are_warned_of(tmp_path: Path) -> None:
    for a, warned in ((0.01, 1), (500.0, 0)):
        output = output_of(many(60), tmp_path, samplers={"simans": {}}, simans={"a": a})
        rows_of(output, "candidates")
        assert len(output.facts()["warnings"]) == warned
        assert (output.facts()["samplers"]["simans"]["effective_sample_share"] > 0.9) == bool(warned)


def test_random_passages_have_no_score_and_are_never_positives(tmp_path: Path) -> None:
    given = many(30)
    rows = mined(given, tmp_path, random=SamplerConfig(window_end=30))
    assert {row["score"] for row in rows} == {row["margin"] for row in rows} == {None}
    reasons = {(row["query_id"], row["passage_id"]): row["reject_reason"] for row in rows}
    assert {pair for pair, reason in reasons.items() if reason == "positive"} == answers(given)


def test_margin_is_how_far_a_candidate_stands_below_the_positive(inputs: Inputs, tmp_path: Path) -> None:
    for row in mined(inputs, tmp_path, dense=SamplerConfig()):
        assert row["margin"] == pytest.approx(row["positive_score"] - row["score"], abs=1e-6)


@pytest.mark.parametrize("on_short", ["keep", "random", "drop"])
def test_short_queries_are_listed_and_treated_as_asked(tmp_path: Path, on_short: str) -> None:
    """A margin that leaves some queries with too few."""
    settings: dict[str, Any] = {
        "samplers": {"dense": {"window_end": 20, "absolute_margin": 0.0}},
        "least": 3,
        "on_short": on_short,
    }
    plain = rows_of(output_of(many(60), tmp_path, **{**settings, "on_short": "keep"}), "candidates").to_pylist()
    accepted = [row["query_id"] for row in plain if row["reject_reason"] is None]
    short = {f"q{row}" for row in range(20) if accepted.count(f"q{row}") < 3}
    assert 0 < len(short) < 20
    output = output_of(many(60), tmp_path, **settings)
    rows = rows_of(output, "candidates").to_pylist()
    facts = output.facts()["short"]
    assert facts["queries"] == len(short)
    assert set(facts["listed"]) == short
    assert set(facts["words"]) == {"short", "rest", "standard_deviations"}
    now = [row["query_id"] for row in rows if row["reject_reason"] is None]
    for query in short:
        if on_short == "keep":
            assert now.count(query) == accepted.count(query)
        elif on_short == "drop":
            assert now.count(query) == 0
        else:
            assert now.count(query) == 3
            assert {row["sampler"] for row in rows if row["query_id"] == query} == {"dense", "random"}
    others = [row for row in rows if row["query_id"] not in short]
    assert others == [row for row in plain if row["query_id"] not in short]


def test_what_two_samplers_both_accept_is_counted(tmp_path: Path) -> None:
    output = output_of(many(60), tmp_path, **EVERY)
    rows = rows_of(output, "candidates").to_pylist()
    kept = [row for row in rows if row["reject_reason"] is None]
    of = {
        sampler: {(row["query_id"], row["passage_id"]) for row in kept if row["sampler"] == sampler}
        for sampler in ("bm25", "dense")
    }
    (overlap,) = [each for each in output.facts()["overlap"] if each["samplers"] == ["bm25", "dense"]]
    assert overlap["both"] == len(of["bm25"] & of["dense"])
    for name, facts in output.facts()["samplers"].items():
        assert facts["outcomes"].get("accepted", 0) == sum(row["sampler"] == name for row in kept)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samplers": {"random": {"relative_margin": 0.1}}}, "random gives no scores"),
        ({"samplers": {"simans": {"pick": "uniform"}}}, "simans is a draw already"),
    ],
)
def test_what_a_sampler_cannot_do_is_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MineConfig.model_validate(settings)
