"""The arithmetic of the plan, against numbers worked out by hand, what stages store, and what the soak took."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from syneg import schemas
from syneg.config import overrides
from syneg.config.run import RunConfig
from syneg.pipeline import cost
from syneg.pipeline.cost import Sizes
from syneg.pipeline.graph import names
from syneg.pipeline.stages import ONE_ROUND, SCORE


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


def test_the_gate_counts_every_negative_of_an_answer() -> None:
    """Its ledger has `negatives_per_answer` rows for each answer."""
    several = ("generate.max_pairs=100", "generate.samples_per_pair=2", "generate.negatives_per_answer=3")
    found = one("gate", "resources.estimate.negatives_gated_per_second=50.0", *several)
    assert found.rows == one("judge", *several).rows == 100 * 2 * 3
    assert found.seconds == pytest.approx(12.0)
    assert one("generate", *several).rows == 200


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
    # 200 queries by 3 windows of 10, and 200 positives
    assert seconds("resources.estimate.pairs_scored_per_second=1e3", "mine.cross_encoder={model: m}") == pytest.approx(
        6.2
    )


WINDOWS = (
    "mine.samplers={dense: {window_start: 2, window_end: 10}, bm25: {window_start: 3, window_end: 8}, "
    "simans: {window_start: 4, window_end: 9}, random: {window_start: 1, window_end: 6}}"
)
CANDIDATES = 10 + 8 + (9 - 4) + 6  # of a query


def mined(collection: dict[str, pa.Table], folder: Path, run: RunConfig) -> tuple[int, int]:
    """The candidates of a real mining, and how many of them stand before their window."""
    from syneg.mine import stage
    from syneg.on_ray.workers import InProcess
    from syneg.stage import Context, Inputs
    from tests.memory import MemoryTable, rows_of

    inputs = Inputs({name: MemoryTable(table) for name, table in collection.items()})
    output = stage.run(inputs, Context(run.resources, folder, workers=InProcess()), bm25=run.bm25, mine=run.mine)
    reasons = rows_of(output, "candidates")["reject_reason"].to_pylist()
    assert callable(output.rows_in)
    assert output.rows_in() == len(reasons)
    return len(reasons), reasons.count("outside_window")


@pytest.fixture
def collection() -> dict[str, pa.Table]:
    """20 passages that every query shares a word with; 2 training queries with 3 positives between them, 1 of test."""
    passages = [f"p{number}" for number in range(20)]
    texts = [f"fox {name} {' '.join(name * repeat for repeat in range(1, 9))}" for name in passages]
    queries = [("q0", "a fox", "train"), ("q1", "the fox", "train"), ("q2", "fox", "test")]
    qrels = [("q0", "p0", 1), ("q0", "p1", 1), ("q1", "p2", 1), ("q2", "p3", 1)]
    vectors = np.random.default_rng(0).standard_normal((23, 8)).astype(np.float16)
    stored = [row.tobytes() for row in vectors]
    names_of_queries = [row[0] for row in queries]
    return {
        "passages": pa.table([passages, [""] * 20, texts], schema=schemas.PASSAGES),
        "queries": pa.table([list(column) for column in zip(*queries, strict=True)], schema=schemas.QUERIES),
        "qrels": pa.table([list(column) for column in zip(*qrels, strict=True)], schema=schemas.QRELS),
        "passage_vectors": pa.table([passages, stored[:20]], schema=schemas.vectors(8)),
        "query_vectors": pa.table([names_of_queries, stored[20:]], schema=schemas.vectors(8)),
    }


def test_candidates_are_as_many_as_mining_stores(collection: dict[str, pa.Table], tmp_path: Path) -> None:
    """Of every training query, whatever its positives: all ranks down to the window's end, of simans the window."""
    found = one("mine", WINDOWS, size=Sizes(passages=20, queries=3, training_pairs=3, test_queries=1))
    stored, before = mined(collection, tmp_path, config(WINDOWS, "mine.near_duplicate_bits=null"))
    assert found.rows == stored == 2 * CANDIDATES
    assert 0 < before <= 2 * (2 + 3 + 1)  # simans has none; a positive is called one wherever it stands


def test_the_gate_of_mined_candidates_reads_them_and_the_judge_those_in_the_windows() -> None:
    settings = (WINDOWS, "judge_mined.enabled=true", "judge_mined.per_sampler=7")
    assert one("gate_mined", *settings).rows == one("mine", *settings).rows == 200 * CANDIDATES
    assert one("judge_mined", *settings).rows == 200 * (7 + 5 + 5 + 5)


def test_positives_that_a_cross_encoder_scores_are_rows_of_mining_alone() -> None:
    settings = (WINDOWS, "mine.cross_encoder={model: m}")
    assert one("mine", *settings).rows == 200 * CANDIDATES + 200
    assert one("gate_mined", *settings).rows == 200 * CANDIDATES


@pytest.mark.parametrize("strategy", ["hybrid", "direct", "synthetic_only", "retrieved_only", "in_batch_only"])
def test_training_reads_the_texts_that_an_instance_has(strategy: str) -> None:
    numbers = ("mix.synthetic_per_instance=1", "mix.retrieved_per_instance=6", f"mix.strategy={strategy}")
    found = one("train", *numbers, "train.epochs=2", "resources.estimate.texts_trained_per_second=10.0")
    texts = 2 if strategy == "in_batch_only" else 9
    assert found.seconds == pytest.approx(200 * texts * 2 / (10 * 8))


def test_evaluation_searches_for_each_system_that_there_is() -> None:
    rates = ("scores_per_second=1e3", "bm25_scores_per_second=5e3", "passages_indexed_per_second=100.0")
    settings = (*(f"resources.estimate.{rate}" for rate in rates), "evaluate.depth=100")
    with_adore = "mine.samplers={dense: {}, adore: {}}"
    search, words = 50 * 1000 / 1e3, 50 * 1000 / 5e3 + 1000 / 100

    def found(*more: str) -> list[float]:
        """Seconds, and the systems whose rankings are stored."""
        estimate = one("evaluate", *settings, *more)
        return [estimate.seconds, estimate.bytes / (50 * 100 * 40)]

    assert found() == pytest.approx([2 * search + words, 3])
    assert found("evaluate.bm25=false") == pytest.approx([2 * search, 2])
    assert found(with_adore) == pytest.approx([3 * search + words, 4])
    assert found(with_adore, "mix.strategy=synthetic_only") == pytest.approx([2 * search + words, 3])  # none is mined


def test_workers_are_those_of_the_stage_s_pool_in_every_round() -> None:
    run = config("mine.rounds=2", "mine.samplers={dense: {}, ance: {}, adore: {}}", "judge_mined.enabled=true")
    pools = {stage: cost.held(stage, run.resources) for stage in (*names(run), SCORE.name)}
    of = run.resources
    assert pools["generate"] == pools["judge_mined_1"] == pools["judge_mined"] == of.generate
    assert pools["embed"] == pools["embed_tuned_1"] == pools["embed_tuned"] == of.encode
    assert pools["mine_1"] == pools["mine"] == of.mine
    assert pools["mix_1"] == pools["mix"] == of.mix
    assert pools["train_1"] == pools["train"] == of.train
    one_of = {"min_workers": 1, "max_workers": 1}
    assert pools["adore"] == of.train.model_copy(update=one_of)
    assert pools["probe_1"] == pools["probe"] == of.encode.model_copy(update=one_of)
    without = {stage for stage, workers in pools.items() if workers is None}
    assert without == {"corpus", "gate", "gate_mined_1", "gate_mined", "evaluate", "report", "score"}


def test_who_takes_workers_from_a_pool_needs_ray() -> None:
    assert all(stage.on_ray for stage in ONE_ROUND if stage.pool)


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
    assert cost.estimate(run, cost.Sizes.of_config(run), names(run)) == []
    known = cost.Sizes.of_corpus(
        {"passages": 10, "queries": {"train": 3, "test": 1}, "judgements": {"train": 3, "test": 2}}
    )
    assert known == cost.Sizes(passages=10, queries=4, training_pairs=3, test_queries=1)
    assert [found.stage for found in cost.estimate(run, known, names(run))] == list(names(run))[
        :-1
    ]  # all but the report


def test_estimates_enter_no_fingerprint() -> None:
    from syneg.pipeline import pipeline

    first = pipeline.plan(overrides.load("configs/demo.yaml"))
    other = pipeline.plan(overrides.load("configs/demo.yaml", ["resources.estimate.output_tokens=7"]))
    assert [step.fingerprint for step in first] == [step.fingerprint for step in other]


SOAK = Path(__file__).parents[3] / "benchmarks" / "soak.json"
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
