"""What two runs differ in: settings, the data of each finished stage, and scores on the queries that both answered."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from syneg.evaluate.significance import Difference, paired
from syneg.pipeline.graph import stages
from syneg.pipeline.run import Run
from syneg.store.manifest import Manifest

Cause = Literal["same", "settings", "inputs", "version", "only_a", "only_b"]

_NOT_ROWS = ("name", "store", "storage", "resources")  # where and how wide, never which


@dataclass(frozen=True)
class Change:
    """One setting that has another value in B. None stands for a key that a run does not have."""

    key: str
    a: Any
    b: Any


@dataclass(frozen=True)
class StageChange:
    """One stage of both runs. `cause`: what made its fingerprint another one, the nearest cause first.

    settings: its own sections. version: its settings are equal and so is all that it reads, but a file or model that
    they name has other content, or another version of syneg made it. inputs: only what it reads differs.
    """

    stage: str
    cause: Cause
    rows_a: int | None
    rows_b: int | None
    rejected: tuple[Change, ...]  # counts by reason that differ


@dataclass(frozen=True)
class ScoreChange:
    """B minus A of one system and measure, over the queries that both have; the means too, or, if they share none,
    those of each run's own. `difference` is then None."""

    system: str
    measure: str
    mean_a: float
    mean_b: float
    difference: Difference | None


@dataclass(frozen=True)
class Comparison:
    settings: list[Change]
    stages: list[StageChange]
    scores: list[ScoreChange]

    @property
    def same_questions(self) -> bool:
        """Whether both were asked the same: an id of another collection may be another query."""
        return any(change.stage == "corpus" and change.cause == "same" for change in self.stages)


def compare(a: Run, b: Run) -> Comparison:
    alike = _alike(a.manifests, b.manifests)
    settings = [change for change in changes(_settings(a), _settings(b)) if change.key.split(".")[0] not in alike]
    scores = [run.table("evaluate", "scores").table() for run in (a, b)]
    reads = {stage.name: stage.sources for run in (b, a) for stage in stages(run.config)}
    return Comparison(settings, list(stage_changes(a.manifests, b.manifests, reads)), list(score_changes(*scores)))


def changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Change]:
    """Leaves of two trees that differ, by their dotted keys in A's order, then those that only B has."""
    left, right = dict(_leaves(a)), dict(_leaves(b))
    keys = [*left, *(key for key in right if key not in left)]
    return [Change(key, left.get(key), right.get(key)) for key in keys if left.get(key) != right.get(key)]


def _leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _settings(run: Run) -> dict[str, Any]:
    return {key: value for key, value in run.config.model_dump(mode="json").items() if key not in _NOT_ROWS}


def _alike(a: Mapping[str, Manifest], b: Mapping[str, Manifest]) -> frozenset[str]:
    """The sections that came to the same in both: a file that they name may lie elsewhere and have the same content.

    One stage of equal fingerprints shows that, since a fingerprint covers all of its sections that decides a row.
    """
    marks = {made.fingerprint for made in b.values()}
    return frozenset(section for made in a.values() if made.fingerprint in marks for section in made.settings)


def stage_changes(
    a: Mapping[str, Manifest], b: Mapping[str, Manifest], reads: Mapping[str, frozenset[str]]
) -> Iterator[StageChange]:
    """Every stage of both runs, in A's order. `reads`: the stages that each of them reads."""
    differing = set[str]()
    for stage in [*a, *(stage for stage in b if stage not in a)]:
        left, right = a.get(stage), b.get(stage)
        if left is None or right is None:
            rows = [made.rows_out if made else None for made in (left, right)]
            yield StageChange(stage, "only_a" if left else "only_b", *rows, rejected=())
            differing.add(stage)
            continue
        cause: Cause = "same"
        if left.fingerprint != right.fingerprint:
            from_inputs = not differing.isdisjoint(reads[stage])
            cause = "settings" if left.settings != right.settings else "inputs" if from_inputs else "version"
            differing.add(stage)
        rejected = tuple(changes(left.rejected, right.rejected))
        yield StageChange(stage, cause, left.rows_out, right.rows_out, rejected)


def score_changes(a: pa.Table, b: pa.Table) -> Iterator[ScoreChange]:
    """From two tables `schemas.SCORES`: every system and measure that both have, in A's order."""
    left, right = _by_system(a), _by_system(b)
    for system, measure in left:
        if (system, measure) not in right:
            continue
        ours, theirs = left[system, measure], right[system, measure]
        shared = sorted(ours.keys() & theirs.keys())
        first, second = (np.array([scores[query] for query in shared]) for scores in (ours, theirs))
        if not shared:  # the means of queries that are not the same
            first, second = (np.array(list(scores.values())) for scores in (ours, theirs))
        difference = paired(first, second, seed=0) if shared else None
        yield ScoreChange(system, measure, float(first.mean()), float(second.mean()), difference)


def _by_system(scores: pa.Table) -> dict[tuple[str, str], dict[str, float]]:
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in scores.to_pylist():
        found.setdefault((row["system"], row["measure"]), {})[row["query_id"]] = row["value"]
    return found
