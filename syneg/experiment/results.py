"""What the runs of an experiment found: scores query by query, and what each arm did. Read from finished stages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from syneg.evaluate import scores as scores_table
from syneg.experiment.grid import Grid
from syneg.pipeline.run import Run

Values = Mapping[str, np.ndarray]
"""Scores [S, Q] by measure; those of a system that was not trained have S = 1."""


@dataclass(frozen=True)
class Arm:
    """One row of the table: a model under all seeds, or an untuned one."""

    name: str
    values: Values
    base: str | None  # the untuned arm that it was made from; None: it is one
    settings: Mapping[str, Any] = field(default_factory=dict)
    trainings: Sequence[Mapping[str, Any]] = ()  # what each seed's training did and took, in the order of the seeds

    @property
    def tuned(self) -> bool:
        return self.base is not None


@dataclass(frozen=True)
class Results:
    """All arms over the same Q queries, in the order of `queries`."""

    measures: tuple[str, ...]
    queries: tuple[str, ...]
    seeds: tuple[int, ...]
    arms: Mapping[str, Arm]
    bm25: Values | None = None


def gather(grid: Grid, bases: Mapping[str, str], finished: Mapping[tuple[str, int], Run]) -> Results:
    """The results of all runs, `finished` by arm and seed. `bases`: by tuned arm, the name of its untuned one."""
    scores = {cell: run.table("evaluate", "scores").table() for cell, run in finished.items()}
    any_scores = next(iter(scores.values()))
    seeds, measures = grid.config.seeds, grid.cells[0].config.evaluate.measures
    arms: dict[str, Arm] = {}
    for name in grid.config.tuned:
        base = bases[name]
        arms.setdefault(base, Arm(base, values_of([scores[name, seeds[0]]], "base", measures), None))
        values = values_of([scores[name, seed] for seed in seeds], "tuned", measures)
        trainings = [training_of(finished[name, seed]) for seed in seeds]
        arms[name] = Arm(name, values, base, grid.config.arms[name], trainings)
    bm25 = values_of([any_scores], "bm25", measures) if "bm25" in any_scores["system"].unique().to_pylist() else None
    queries = sorted(any_scores["query_id"].unique().to_pylist())
    return Results(measures, tuple(queries), seeds, arms, bm25)


def values_of(runs: Sequence[pa.Table], system: str, measures: Sequence[str]) -> dict[str, np.ndarray]:
    """One system's scores [S, Q] by measure, from the `schemas.SCORES` of S runs; queries in the order of their ids."""
    return {measure: np.stack([scores_table.values_of(run, system, measure) for run in runs]) for measure in measures}


def training_of(run: Run) -> dict[str, Any]:
    """JSON values: what a run's training did, and the seconds of the run's stages."""
    metrics = run.table("train", "metrics").table(["step", "loss", "gradient_norm"]).sort_by("step")
    mixed, trained = run.manifests["mix"], run.manifests["train"]
    return training(
        run=run.config.name,
        instances=mixed.rows_out,
        negatives=mixed.facts.get("negatives", {}),
        loss=metrics["loss"].to_pylist(),
        gradient_norm=metrics["gradient_norm"].to_pylist(),
        seconds={name: made.seconds for name, made in run.manifests.items()},
        facts={"mix": mixed.facts, "train": trained.facts},
        leaks=run.manifests["evaluate"].facts.get("leaks", {}),
    )


def training(
    run: str | None,
    instances: int,
    negatives: Mapping[str, int],
    loss: Sequence[float],
    gradient_norm: Sequence[float],
    seconds: Mapping[str, float],
    facts: Mapping[str, Any],
    leaks: Mapping[str, Any],
) -> dict[str, Any]:
    """JSON values of one training. `run` names the page that tells more, where there is one; `leaks` as the stage
    evaluate counts them."""
    norms = np.asarray(gradient_norm, np.float64)
    return {
        "run": run,
        "instances": instances,
        "negatives": dict(negatives),
        "negatives_per_instance": sum(negatives.values()) / max(1, instances),
        "steps": len(loss),
        "loss": [round(float(value), 5) for value in loss],
        "gradient_norm": [round(float(value), 5) for value in norms],
        "gradient_norm_mean": float(norms.mean()) if len(norms) else None,
        "gradient_norm_variance": float(norms.var(ddof=1)) if len(norms) > 1 else None,
        "seconds": dict(seconds),
        "facts": dict(facts),
        "leaks": dict(leaks),
    }
