"""Arms as files, so that a bare machine trains and scores them (benchmarks/arms_cuda.py), and what it brings back."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from syneg.config.run import RunConfig
from syneg.encoder import recipe
from syneg.errors import BadInput
from syneg.experiment.grid import Grid
from syneg.experiment.results import Arm, Results, training, values_of
from syneg.experiment.runner import Watched, one_session
from syneg.pipeline import graph, pipeline
from syneg.pipeline.pipeline import Graph
from syneg.pipeline.run import Run
from syneg.positives import of_split
from syneg.schemas import ACCEPTED
from syneg.store import folders, models

_LAST = "mix"
_PLAN = "arms.json"


def export(grid: Grid, bases: Mapping[str, str], watched: Watched, folder: Path) -> None:
    """Runs every cell up to its instances, and writes what is needed to train and score it elsewhere; the plan last.

    Raises:
        BadInput: the folder exists; an arm needs a model while it mines, or looks at dev while it trains.
    """
    if folder.exists():
        raise BadInput(f"--export: {folder} exists. Give a folder that does not, or remove it.")
    for cell in grid.cells:
        if cell.config.mine.rounds > 1 or cell.config.train.dev.every is not None:
            raise BadInput(f"{cell.arm}: mine.rounds above 1 and train.dev.every need syneg run; leave them out.")
    (folder / "instances").mkdir(parents=True)
    with one_session(grid, last=_LAST):
        for number, cell in enumerate(grid.cells, start=1):
            with watched(cell, number, len(grid.cells)) as listener:
                finished = pipeline.run(cell.config, listener, last=_LAST)
                if number == 1:
                    _put_collection(finished, folder)
                    _put_bm25(cell.config, listener, folder)
            instances = finished.table(_LAST, "instances").table()
            accepted = instances.filter(ACCEPTED)
            pq.write_table(accepted, folder / "instances" / f"{cell.arm}-{cell.seed}.parquet")
    (folder / _PLAN).write_text(json.dumps(plan(grid, bases, folder), indent=1), encoding="utf-8")


def _put_collection(run: Run, folder: Path) -> None:
    tables = {name: run.table("corpus", name) for name in ("queries", "qrels")}
    queries, qrels = of_split(tables, "test")
    pq.write_table(run.table("corpus", "passages").table(), folder / "passages.parquet")
    pq.write_table(queries, folder / "queries.parquet")
    pq.write_table(qrels, folder / "qrels.parquet")


def _put_bm25(config: RunConfig, listener: pipeline.Listener, folder: Path) -> None:
    if config.evaluate.bm25:
        stages = [stage for stage in graph.to_score(bm25=True) if stage.name in ("corpus", "score_bm25")]
        finished = pipeline.run(config, listener, graph=Graph(stages))
        pq.write_table(finished.table("score_bm25", "scores").table(), folder / "bm25.parquet")


def plan(grid: Grid, bases: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """The content of arms.json. Each model that arms start from is copied, once, under its base's name."""
    configs = {cell.arm: cell.config for cell in grid.cells}
    for arm, base in bases.items():
        if not (folder / "models" / base).exists():
            folders.put(models.locate(configs[arm].encoder.model), str(folder / "models" / base))
    evaluate = grid.cells[0].config.evaluate
    return {
        "experiment": grid.config.name,
        "seeds": list(grid.config.seeds),
        "measures": list(evaluate.measures),
        "depth": evaluate.depth,
        "arms": {
            arm: {
                "base": bases[arm],
                "model": bases[arm],
                "encoder": recipe.resolved(config.encoder).model_dump(mode="json"),
                "train": config.train.model_dump(mode="json"),
            }
            for arm, config in configs.items()
        },
    }


def results(grid: Grid, folder: Path) -> Results:
    """What the machine found: the same results that `results.gather` reads from runs.

    Raises:
        BadInput: the folder holds other arms or seeds than the grid, or one of them has no scores yet.
    """
    if not (folder / _PLAN).exists():
        raise BadInput(f"--scores: {folder / _PLAN} is not there. Give a folder that --export wrote.")
    written = json.loads((folder / _PLAN).read_text(encoding="utf-8"))
    seeds = tuple(written["seeds"])
    if seeds != grid.config.seeds or tuple(written["arms"]) != grid.config.tuned:
        raise BadInput(
            f"--scores: {folder} holds the arms {', '.join(written['arms'])} under the seeds {written['seeds']}, the "
            f"experiment has {', '.join(grid.config.tuned)} under {list(grid.config.seeds)}. Give the file that was "
            "exported from, with the same changes."
        )
    measures = tuple(written["measures"])
    arms: dict[str, Arm] = {}
    queries: list[str] = []
    for name, exported in written["arms"].items():
        base = exported["base"]
        if base not in arms:
            scores = _scores(folder, base)
            queries = sorted(scores["query_id"].unique().to_pylist())
            arms[base] = Arm(base, values_of([scores], base, measures), None)
        tables = [_scores(folder, f"{name}-{seed}") for seed in seeds]
        trainings = [_training(folder, name, seed) for seed in seeds]
        arms[name] = Arm(name, values_of(tables, name, measures), base, grid.config.arms[name], trainings)
    bm25 = folder / "bm25.parquet"
    found = values_of([pq.read_table(bm25)], "bm25", measures) if bm25.exists() else None
    return Results(measures, tuple(queries), seeds, arms, found)


def _scores(folder: Path, name: str) -> pa.Table:
    path = folder / "scores" / f"{name}.parquet"
    if not path.exists():
        raise BadInput(f"{path} is not there. Run `python benchmarks/arms_cuda.py {folder}` to its end first.")
    return pq.read_table(path)


def _training(folder: Path, arm: str, seed: int) -> dict[str, Any]:
    notes = json.loads((folder / "scores" / f"{arm}-{seed}.json").read_text(encoding="utf-8"))
    lists = pq.read_table(folder / "instances" / f"{arm}-{seed}.parquet", columns=["negatives"])["negatives"]
    counts = pc.call_function("value_counts", [lists.combine_chunks().flatten().field("source")]).to_pylist()
    return training(
        run=None,
        instances=len(lists),
        negatives={count["values"]: count["counts"] for count in counts},
        loss=[step["loss"] for step in notes["steps"]],
        gradient_norm=[step["gradient_norm"] for step in notes["steps"]],
        seconds=notes["seconds"],
        facts={"train": {"device": notes["device"], "by": "benchmarks/arms_cuda.py"}},
        leaks={},  # it does not look
    )
