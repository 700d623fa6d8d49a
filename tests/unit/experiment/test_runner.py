"""Every stage that arms share runs once, and a killed experiment goes on, with small stages of the test's own."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from syneg import schemas
from syneg.commands.experiment import experiment
from syneg.errors import BadInput, StageFailed
from syneg.experiment import analysis, grid, results, runner, verdict
from syneg.pipeline import pipeline
from syneg.settings.corpus import CorpusConfig
from syneg.settings.encoder import EncoderConfig
from syneg.settings.mix import MixConfig
from syneg.settings.train import TrainConfig
from syneg.stage import Context, Inputs, Output, Stage

CALLS: Counter[str] = Counter()
FAILS_AT: set[tuple[float, int]] = set()
FAILING_MIX: list[bool] = []
QUERIES = [f"q{number:03}" for number in range(200)]
GAINS = {0.05: 0.2, 0.1: 0.0}  # by temperature


def corpus(inputs: Inputs, context: Context, *, corpus: CorpusConfig) -> Output:
    CALLS["corpus"] += 1
    rows = pa.table([QUERIES, QUERIES, ["test"] * len(QUERIES)], schema=schemas.QUERIES)
    return Output(len(QUERIES), {"queries": rows})


def embed(inputs: Inputs, context: Context, *, encoder: EncoderConfig) -> Output:
    CALLS["embed"] += 1
    return Output(0, {"queries": schemas.QUERIES.empty_table()})


def mix(inputs: Inputs, context: Context, *, mix: MixConfig) -> Output:
    CALLS["mix"] += 1
    if FAILING_MIX:
        raise StageFailed("no mix here")
    return Output(0, {"instances": schemas.INSTANCES.empty_table()}, facts=lambda: {"negatives": {"dense": 0}})


def train(inputs: Inputs, context: Context, *, train: TrainConfig) -> Output:
    if (train.temperature, train.seed) in FAILS_AT:
        raise StageFailed("killed here, at s3://key:secret@bucket")
    CALLS["train"] += 1
    row = {"loss": 1.0, "gradient_norm": 0.5, "learning_rate": 1e-5, "queries_per_second": 9.0}
    rows = [row | {"step": step, "epoch": 1.0} for step in range(3)]
    return Output(3, {"metrics": pa.Table.from_pylist(rows, schema=schemas.METRICS)})


def evaluate(inputs: Inputs, context: Context, *, train: TrainConfig) -> Output:
    base = np.random.default_rng(0).random(len(QUERIES)) * 0.5
    noise = np.random.default_rng(train.seed + 1).normal(0, 0.05, len(QUERIES))
    values = {"base": base, "tuned": base + GAINS[train.temperature] + noise, "bm25": base / 2}
    rows = [
        {"system": system, "measure": measure, "query_id": query, "value": value}
        for system, of_query in values.items()
        for measure in ("nDCG@10", "MRR@10", "Recall@100", "MAP")
        for query, value in zip(QUERIES, of_query, strict=True)
    ]
    return Output(len(rows), {"scores": pa.Table.from_pylist(rows, schema=schemas.SCORES)})


def stage(name: str, reads: dict[str, str], writes: str, sections: tuple[str, ...]) -> Stage:
    return Stage(name, f"{__name__}:{name}", 1, reads, (writes,), sections=sections, on_ray=False)


STAGES = (
    stage("corpus", {}, "queries", ("corpus",)),
    stage("embed", {"queries": "corpus.queries"}, "queries", ("encoder",)),
    stage("mix", {"queries": "corpus.queries"}, "instances", ("mix",)),
    stage("train", {"instances": "mix.instances"}, "metrics", ("train",)),
    stage("evaluate", {"metrics": "train.metrics"}, "scores", ("train",)),
)


@pytest.fixture(autouse=True)
def _small_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    CALLS.clear()
    FAILS_AT.clear()
    FAILING_MIX.clear()
    monkeypatch.setattr(pipeline, "stages", lambda config: STAGES)
    monkeypatch.setattr(runner.runs, "publish_run", lambda finished, with_model: "")


def plan(tmp_path: Path, **changed: object) -> grid.Grid:
    path = tmp_path / "grid.yaml"
    base = {"corpus": {"source": "stdlib"}, "store": {"root": str(tmp_path / "out")}}
    arms = {"base": {"tuned": False}, "good": {}, "idle": {"train.temperature": 0.1}}
    seeded = {"seeded": ["train.seed"]}
    path.write_text(yaml.safe_dump({"name": "t", "base": base, "arms": arms, "seeds": [0, 1, 2]} | seeded | changed))
    return grid.load(str(path))


class Silent:
    def started(self, stage: object) -> None: ...

    def progressed(self, stage: object, message: str) -> None: ...

    def finished(self, stage: object, result: object, reused: bool) -> None: ...


@contextmanager
def unwatched(cell: grid.Cell, number: int, total: int) -> Iterator[Silent]:
    yield Silent()


@pytest.mark.parametrize("parallel", [1, 3])
def test_shared_stages_run_once_and_the_verdict_agrees(tmp_path: Path, parallel: int) -> None:
    planned = plan(tmp_path, parallel=parallel)
    finished = runner.run(planned, unwatched)
    assert CALLS == {"corpus": 1, "embed": 1, "mix": 1, "train": 6}
    found = results.gather(planned, runner.bases(planned), finished)
    assert list(found.arms) == ["base", "good", "idle"]
    assert found.arms["good"].values["MAP"].shape == (3, 200)
    analysed = analysis.analyse(found, None, seed=0)
    reached = verdict.reach(found, analysed)
    assert (reached.kind, reached.use) == ("better", "good")
    assert not analysed.with_base["idle"].is_shown


def test_arms_side_by_side_know_that_they_share_the_machine(tmp_path: Path) -> None:
    for parallel in (1, 3):
        assert {cell.config.resources.shared_by for cell in plan(tmp_path, parallel=parallel).cells} == {parallel}


def test_goes_on_after_a_death_without_training_an_arm_twice(tmp_path: Path) -> None:
    planned = plan(tmp_path)
    FAILS_AT.add((0.1, 1))
    with pytest.raises(StageFailed, match="killed here"):
        runner.run(planned, unwatched)
    assert CALLS["train"] == 3
    FAILS_AT.clear()
    runner.run(planned, unwatched)
    assert CALLS == {"corpus": 1, "embed": 1, "mix": 1, "train": 6}
    runner.run(planned, unwatched)
    assert CALLS["train"] == 6


def test_a_shared_stage_that_fails_in_one_arm_is_not_tried_by_those_that_wait_for_it(tmp_path: Path) -> None:
    FAILING_MIX.append(True)
    with pytest.raises(StageFailed, match="no mix here"):
        runner.run(plan(tmp_path, parallel=3), unwatched)
    assert CALLS == {"corpus": 1, "embed": 1, "mix": 1}


def test_of_an_arm_that_fails_the_reason_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FAILS_AT.add((0.1, 0))
    plan(tmp_path, parallel=2)
    with pytest.raises(StageFailed, match="killed here"):
        experiment(str(tmp_path / "grid.yaml"))
    shown = capsys.readouterr().out
    assert "[2/6] failed: killed here, at s3://[redacted]@bucket" in shown
    assert "secret" not in shown


def test_an_untuned_arm_of_a_model_that_nobody_tunes_is_refused(tmp_path: Path) -> None:
    planned = plan(tmp_path, arms={"other": {"tuned": False, "encoder.query_prompt": "q: "}, "good": {}})
    with pytest.raises(BadInput, match="other: no tuned arm starts from the same model"):
        runner.bases(planned)


def test_a_base_without_a_name_is_called_base(tmp_path: Path) -> None:
    assert runner.bases(plan(tmp_path, arms={"good": {}})) == {"good": "base"}


def test_what_this_machine_lacks_is_missed_before_the_first_cell(tmp_path: Path) -> None:
    base = {"corpus": {"source": "stdlib"}, "store": {"root": str(tmp_path / "out")}}
    resources = {"train": {"trackers": ["mlflow"]}}
    with pytest.raises(BadInput, match="mlflow"):
        runner.run(plan(tmp_path, base=base | {"resources": resources}), unwatched)
    assert CALLS == {}
