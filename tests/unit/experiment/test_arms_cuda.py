"""The arms' script on a CPU at a tiny size: exported files in, scores and a verdict out."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from syneg import schemas
from syneg.config.run import RunConfig
from syneg.errors import BadInput
from syneg.evaluate import metrics
from syneg.experiment import analysis, exported, verdict
from syneg.experiment.grid import Cell, Grid
from syneg.settings.experiment import ExperimentConfig
from tests.tiny_bert import tiny_bert

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "arms_cuda.py"
SEEDS = (0, 1)
MEASURES = ("nDCG@10", "nDCG@2", "MRR@3", "Recall@5", "MAP")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("arms_cuda", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    script.main()


def written(folder: Path) -> Grid:
    """What `exported.export` leaves: eight passages, each the answer of one query; an instance has one negative."""
    texts = [f"{letter * 3} {letter}{letter}" for letter in "abcdefgh"]
    instances = [
        {"query_id": f"t{row}", "query": text[:3], "positive_id": f"p{row}", "positive": text}
        | {"negatives": [{"id": "n", "text": texts[row - 1], "source": "dense", "score": 0.5, "rank": 1}]}
        for row, text in enumerate(texts)
    ]
    tables: dict[str, list[dict[str, Any]]] = {
        "passages": [{"passage_id": f"p{row}", "title": "", "text": text} for row, text in enumerate(texts)],
        "queries": [{"query_id": f"q{row}", "text": text[:2], "split": "test"} for row, text in enumerate(texts)],
        "qrels": [{"query_id": f"q{row}", "passage_id": f"p{row}", "relevance": 1} for row in range(len(texts))],
    }
    (folder / "instances").mkdir(parents=True)
    for seed in SEEDS:
        table = pa.Table.from_pylist(instances, schema=schemas.INSTANCES)
        pq.write_table(table, folder / f"instances/hybrid-{seed}.parquet")
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows, schema=getattr(schemas, name.upper())), folder / f"{name}.parquet")
    lengths = {"query_max_length": 16, "passage_max_length": 16}
    config = RunConfig.model_validate(
        {
            "name": "t-hybrid-0",
            "corpus": {"source": "stdlib"},
            "encoder": {"model": str(tiny_bert(folder / "given")), **lengths},
            "train": {"batch_size": 4, "learning_rate": 1e-3, **lengths},
            "evaluate": {"measures": MEASURES, "depth": 100},
        }
    )
    experiment = ExperimentConfig.model_validate({"name": "t", "base": {}, "arms": {"hybrid": {}}, "seeds": SEEDS})
    grid = Grid(experiment, tuple(Cell("hybrid", seed, config) for seed in SEEDS), {})
    (folder / "arms.json").write_text(json.dumps(exported.plan(grid, {"hybrid": "base"}, folder)))
    return grid


def test_trains_scores_and_reaches_a_verdict(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "arms"
    grid = written(folder)
    with pytest.raises(BadInput, match="to its end first"):
        exported.results(grid, folder)
    run(script, monkeypatch, str(folder), "--device", "cpu")
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    results = exported.results(grid, folder)
    hybrid = results.arms["hybrid"]
    assert hybrid.values["nDCG@10"].shape == (2, 8)
    assert printed["scores"]["hybrid"]["1"]["MAP"] == pytest.approx(hybrid.values["MAP"][1].mean(), abs=1e-4)
    assert list(printed["scores"]["base"]) == ["untrained"]
    assert hybrid.trainings[0]["steps"] == 2
    assert hybrid.trainings[0]["negatives"] == {"dense": 8}
    assert hybrid.trainings[0]["loss"] != hybrid.trainings[1]["loss"]
    assert verdict.reach(results, analysis.analyse(results, None, seed=0)).sentence
    before = (folder / "scores" / "hybrid-0.parquet").stat().st_mtime_ns
    run(script, monkeypatch, str(folder), "--device", "cpu")  # goes on: nothing is trained twice
    assert (folder / "scores" / "hybrid-0.parquet").stat().st_mtime_ns == before


def test_other_arms_than_the_experiments_are_refused(tmp_path: Path) -> None:
    grid = written(tmp_path / "arms")
    config = grid.config.model_copy(update={"seeds": (0, 1, 2)})
    with pytest.raises(BadInput, match=r"under the seeds \[0, 1\], the experiment has hybrid under \[0, 1, 2\]"):
        exported.results(Grid(config, grid.cells, {}), tmp_path / "arms")


def test_measures_are_those_of_the_evaluation(script: ModuleType) -> None:
    draw = np.random.default_rng(3)
    ranking, judged = [], []
    for query in range(30):
        passages = draw.permutation(40)[: draw.integers(1, 40)]
        ranking += [(f"q{query}", f"p{passage}", rank, 0.0) for rank, passage in enumerate(passages)]
        judged += [(f"q{query}", f"p{passage}", int(draw.integers(-1, 4))) for passage in range(0, 40, 7)]
        judged += [(f"q{query}", "p1", 1)]
    tables = [
        pa.table([list(column) for column in zip(*rows, strict=True)], schema=schema)
        for rows, schema in ((ranking, schemas.RANKING), (judged, schemas.QRELS))
    ]
    ours = {
        (row["measure"], row["query_id"]): row["value"]
        for row in metrics.per_query(tables[0], tables[1], MEASURES).to_pylist()
    }
    for query in range(30):
        gains = {passage: gain for name, passage, gain in judged if name == f"q{query}"}
        ranked = [gains.get(passage, 0) for name, passage, _, _ in ranking if name == f"q{query}"]
        for measure in MEASURES:
            value = script.score(measure, ranked, list(gains.values()))
            assert value == pytest.approx(ours[measure, f"q{query}"], abs=1e-6), measure


def test_without_cuda_it_says_so_and_ends_well(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    run(script, monkeypatch, str(tmp_path))
    assert json.loads(capsys.readouterr().out) == {"name": "arms_cuda", "skipped": "no CUDA device"}
