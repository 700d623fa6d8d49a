"""TensorBoard, MLflow and Weights & Biases, for those who ask: the driver tells them every row of the metrics.

Where MLflow and Weights & Biases send things is theirs to know (MLFLOW_TRACKING_URI, WANDB_PROJECT, ...).
"""

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Protocol

from syneg.errors import BadInput
from syneg.settings.resources import TrainResources


class Tracker(Protocol):
    def log(self, row: Mapping[str, Any]) -> None:
        """One row of `schemas.METRICS`."""
        ...

    def close(self) -> None: ...


class TensorBoard:
    package = "tensorboardX"

    def __init__(self, pool: TrainResources) -> None:
        self._writer = _module("tensorboard").SummaryWriter(pool.tensorboard_folder)

    def log(self, row: Mapping[str, Any]) -> None:
        for name, value in scalars(row).items():
            self._writer.add_scalar(name, value, row["step"])

    def close(self) -> None:
        self._writer.close()


class MlFlow:
    package = "mlflow"

    def __init__(self, pool: TrainResources) -> None:
        self._mlflow = _module("mlflow")
        self._mlflow.start_run()

    def log(self, row: Mapping[str, Any]) -> None:
        self._mlflow.log_metrics(scalars(row), step=row["step"])

    def close(self) -> None:
        self._mlflow.end_run()


class Wandb:
    package = "wandb"

    def __init__(self, pool: TrainResources) -> None:
        self._run = _module("wandb").init()

    def log(self, row: Mapping[str, Any]) -> None:
        self._run.log(scalars(row), step=row["step"])

    def close(self) -> None:
        self._run.finish()


_KINDS = {"tensorboard": TensorBoard, "mlflow": MlFlow, "wandb": Wandb}


def check(pool: TrainResources) -> None:
    """Raises BadInput if a tracker that the config asks for is not installed. Imports none."""
    for name in pool.trackers:
        if importlib.util.find_spec(_KINDS[name].package) is None:
            raise _not_installed(name)


def trackers(pool: TrainResources) -> list[Tracker]:
    """Those that the config asks for. Raises BadInput if one is not installed."""
    return [_KINDS[name](pool) for name in pool.trackers]


class Telling:
    """Tells trackers the rows. One that fails is told nothing more, and the others go on.

    Being watched must not end a training, which may have taken days. What it failed with goes to stderr at once.
    """

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self.warnings: list[str] = []  # one for each that failed
        self._opened = tuple(trackers)
        self._told = list(trackers)

    def log(self, row: Mapping[str, Any]) -> None:
        for tracker in tuple(self._told):
            with ExitStack() as spared:
                spared.push(partial(self._failed, tracker, f"was told nothing from step {row['step']} on"))
                tracker.log(row)

    def close(self) -> None:
        """Closes all, those that failed before too: what they were told may still reach its place."""
        for tracker in self._opened:
            with ExitStack() as spared:
                spared.push(partial(self._failed, tracker, "may lack the last rows"))
                tracker.close()

    def _failed(
        self,
        tracker: Tracker,
        what: str,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Takes what a tracker raised, as `__exit__` does: each has errors of its own, which no list here names."""
        if not isinstance(error, Exception):
            return False
        if tracker in self._told:
            self._told.remove(tracker)
            name = type(tracker).__name__
            self.warnings.append(
                f"{name} {what}: it failed ({type(error).__name__}, see the log). The training went on without it, and "
                f"its table of metrics has every row. See to {name}'s server and settings before the next one."
            )
            sys.excepthook(type(error), error, trace)  # syneg's own masks secrets, as an address may hold one
        return True


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row: masses by source, the medians of the scores, everything else as it is."""
    found = {f"train/{name}": float(value) for name, value in row.items() if isinstance(value, int | float)}
    for each in row.get("masses") or ():
        found[f"train/mass/{each['source']}"] = each["mass"]
    for name in ("positive_scores", "negative_scores"):
        if row.get(name):
            found[f"train/{name}/median"] = row[name][len(row[name]) // 2]
    return found


def _module(name: str) -> Any:
    try:
        return importlib.import_module(_KINDS[name].package)
    except ImportError as error:
        raise _not_installed(name) from error


def _not_installed(name: str) -> BadInput:
    package = _KINDS[name].package
    return BadInput(
        f"resources.train.trackers asks for {name}, but the package {package} is not installed. "
        f"Install it (pip install {package}), or leave {name} out."
    )
