"""The arithmetic of the plan, against numbers worked out by hand, and against what the soak took."""

import json
from pathlib import Path

import pytest

from syneg import cost, overrides
from syneg.config import RunConfig
from syneg.cost import Sizes
from syneg.graph import names


def config(*settings: str) -> RunConfig:
    return overrides.load("configs/msmarco.yaml", settings)


def one(stage: str, *settings: str, size: Sizes | None = None) -> cost.Estimate:
    run = config("resources.estimate.start_seconds=0.0", *settings)
    (found,) = cost.estimate(run, size or Sizes(1000, 300, 200, 50), (stage,))
    return found


def test_generation_counts_tokens_both_ways_and_shares_the_workers() -> None:
    found = one(
        "generate",
        "generate.max_pairs=100",
        "generate.samples_per_pair=2",
        "resources.generate.max_workers=4",
        "resources.estimate.prompt_tokens=500",
        "resources.estimate.output_tokens=250",
        "resources.estimate.prompt_tokens_per_second=10000.0",
        "resources.estimate.output_tokens_per_second=1000.0",
    )
    assert found.rows == 200
    assert found.tokens == 200 * 750
    assert found.seconds == pytest.approx(200 * (0.05 + 0.25) / 4)
    assert found.gpus == 4


def test_vectors_take_two_bytes_a_dimension() -> None:
    found = one("embed", "resources.estimate.dimensions=1024", "resources.estimate.texts_encoded_per_second=100.0")
    assert (found.rows, found.bytes) == (1300, 1300 * 2048)
    assert found.seconds == pytest.approx(1300 / (100 * 8))


def test_adore_trains_every_query_and_looks_at_every_passage_on_one_worker() -> None:
    rates = ("resources.estimate.texts_trained_per_second=10.0", "resources.estimate.scores_per_second=1e4")
    found = one("adore", "adore.epochs=2", "resources.estimate.rows_per_second=1300.0", *rates)
    assert found.rows == 300
    assert found.seconds == pytest.approx(2 * 200 * (1 / 10 + 1000 / 1e4) + 1)
    assert found.gpus == 1


def test_an_index_looks_at_a_share_of_the_passages() -> None:
    rates = (
        "resources.estimate.scores_per_second=1e3",
        "resources.estimate.rows_per_second=1e12",
        "resources.estimate.bm25_scores_per_second=1e12",
        "resources.estimate.passages_indexed_per_second=1e12",
    )
    exact, ivf = one("mine", *rates), one("mine", "mine.index=ivf", "mine.ivf={lists: 100, probes: 5}", *rates)
    assert exact.seconds == pytest.approx(200.0)
    assert ivf.seconds == pytest.approx(10.0)


def test_what_mining_is_made_of() -> None:
    size = Sizes(1000, 300, 200, 50)
    free = ("scores", "bm25_scores", "passages_indexed", "rows", "pairs_scored")
    settings = [f"resources.estimate.{name}_per_second=1e15" for name in free]
    both = "mine.samplers={dense: {window_end: 10}, simans: {window_end: 10}, bm25: {window_end: 10}}"

    def seconds(*more: str) -> float:
        return one("mine", "resources.mine.max_workers=1", both, *settings, *more, size=size).seconds

    assert seconds() == pytest.approx(0.0, abs=1e-6)
    assert seconds("resources.estimate.scores_per_second=1e5") == pytest.approx(2.0)  # dense and simans share a search
    assert seconds("resources.estimate.bm25_scores_per_second=1e5") == pytest.approx(2.0)
    assert seconds("resources.estimate.bm25_scores_per_second=1e5", "resources.mine.max_workers=4") == pytest.approx(
        0.5
    )
    assert seconds("resources.estimate.passages_indexed_per_second=1e3") == pytest.approx(1.0)
    assert seconds("resources.estimate.rows_per_second=1e3") == pytest.approx(6.0)
    assert seconds("resources.estimate.pairs_scored_per_second=1e3") == pytest.approx(0.0, abs=1e-6)
    assert seconds("resources.estimate.pairs_scored_per_second=1e3", "mine.cross_encoder={model: m}") == pytest.approx(
        6.0
    )


def test_workers_take_time_to_start() -> None:
    found = one("embed", "resources.estimate.texts_encoded_per_second=1e9", "resources.estimate.start_seconds=90.0")
    assert found.seconds == pytest.approx(90.0, abs=0.1)


def test_rounds_cost_each() -> None:
    run = config("mine.rounds=2", "mine.samplers.ance={}")
    found = [estimate.stage for estimate in cost.estimate(run, Sizes(10, 10, 5, 2), names(run))]
    assert {"mine_1", "mine", "train_1", "train"} <= set(found)


def test_a_price_is_what_a_stage_holds_at_its_widest() -> None:
    run = config("resources.estimate.usd_per_gpu_hour=3.0", "resources.estimate.usd_per_cpu_hour=0.1")
    train = run.resources.train
    expected = train.max_workers * (3.0 * train.gpus + 0.1 * train.cpus)
    assert cost.usd({"train": 3600.0}, run.resources) == pytest.approx(expected)
    assert cost.usd({"train": 3600.0}, config("resources.estimate.usd_per_gpu_hour=null").resources) is None


def test_nothing_is_guessed_of_a_collection_that_nobody_described() -> None:
    run = overrides.load("configs/scifact.yaml")
    assert cost.estimate(run, cost.sizes(run), names(run)) == []
    known = cost.sizes(run, {"passages": 10, "queries": 4, "training_pairs": 3, "test_queries": 1})
    assert [found.stage for found in cost.estimate(run, known, names(run))] == list(names(run))[
        :-1
    ]  # all but the report


def test_estimates_enter_no_fingerprint() -> None:
    from syneg import pipeline

    first = pipeline.plan(overrides.load("configs/demo.yaml"))
    other = pipeline.plan(overrides.load("configs/demo.yaml", ["resources.estimate.output_tokens=7"]))
    assert [step.fingerprint for step in first] == [step.fingerprint for step in other]


SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.json"
# As seen in the soak of 100,000 passages. The engine and the encoder are stood in for: their rates are the harness's.
RATES = {
    "start_seconds": 11.0,
    "prompt_tokens_per_second": 1e12,
    "output_tokens": 100,
    "output_tokens_per_second": 23_000.0,
    "texts_encoded_per_second": 22_000.0,
    "scores_per_second": 1e9,
    "bm25_scores_per_second": 2e8,
    "passages_indexed_per_second": 7_000.0,
    "rows_per_second": 80_000.0,
    "negatives_gated_per_second": 540.0,
    "instances_mixed_per_second": 1_150.0,
}


@pytest.mark.parametrize("run", json.loads(SOAK.read_text())["runs"], ids=lambda run: f"{run['passages']:,}")
def test_the_model_agrees_with_the_soak(run: dict) -> None:
    """Rates of the middle size foretell the others: each stage of ten seconds or more within a factor of two, their sum
    within a third."""
    samplers = {"dense": {"window_end": 20}, "bm25": {"window_end": 20}}
    soak = RunConfig.model_validate(
        {
            "name": "soak",
            "corpus": {"source": "beir", "path": "x"},
            "mine": {"samplers": samplers},
            "resources": {"estimate": RATES},
        }
    )
    size = Sizes(run["passages"], run["queries"] + 100, run["queries"], 100)
    expected = {one.stage: one.seconds for one in cost.estimate(soak, size, tuple(run["seconds"]))}
    assert set(expected) == set(run["seconds"])
    for stage, seconds in run["seconds"].items():
        if seconds >= 10:
            assert 0.5 < expected[stage] / seconds < 2, (stage, expected[stage], seconds)
    assert sum(expected.values()) == pytest.approx(sum(run["seconds"].values()), rel=1 / 3)
