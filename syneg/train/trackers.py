"""TensorBoard, MLflow and Weights & Biases, for those who ask: the driver sends them every row of the metrics.

Where MLflow and Weights & Biases send things is theirs to know (MLFLOW_TRACKING_URI, WANDB_PROJECT, ...).
"""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

from syneg.errors import BadInput
from syneg.settings.resources import TrainResources
from syneg.store import files

T = TypeVar("T")


class Tracker(Protocol):
    def log(self, row: Mapping[str, Any]) -> None:
        """One row of `schemas.METRICS`."""
        ...

    def close(self) -> None: ...


class TensorBoard:
    package = "tensorboardX"

    def __init__(self, pool: TrainResources, title: str) -> None:
        # A folder is a curve: in one for all, trainings of the same steps would be drawn as one zigzag.
        folder = files.join(pool.tensorboard_folder, title)
        self._writer = importlib.import_module(self.package).SummaryWriter(folder)

    def log(self, row: Mapping[str, Any]) -> None:
        for name, value in scalars(row).items():
            self._writer.add_scalar(name, value, row["step"])

    def close(self) -> None:
        self._writer.close()


class MlFlow:
    package = "mlflow"

    def __init__(self, pool: TrainResources, title: str) -> None:
        self._mlflow = importlib.import_module(self.package)
        self._mlflow.start_run(run_name=title)

    def log(self, row: Mapping[str, Any]) -> None:
        self._mlflow.log_metrics(scalars(row), step=row["step"])

    def close(self) -> None:
        self._mlflow.end_run()


class Wandb:
    package = "wandb"

    def __init__(self, pool: TrainResources, title: str) -> None:
        self._run = importlib.import_module(self.package).init(name=title)

    def log(self, row: Mapping[str, Any]) -> None:
        self._run.log(scalars(row), step=row["step"])

    def close(self) -> None:
        self._run.finish()


_KINDS = {"tensorboard": TensorBoard, "mlflow": MlFlow, "wandb": Wandb}


def check(pool: TrainResources) -> None:
    """Raises BadInput if a tracker that the config asks for is not installed. Imports none."""
    for name in pool.trackers:
        package = _KINDS[name].package
        if importlib.util.find_spec(package) is None:
            raise BadInput(
                f"resources.train.trackers asks for {name}, but the package {package} is not installed. "
                f"Install it (pip install {package}), or leave {name} out."
            )


def asked_for(pool: TrainResources, title: str) -> dict[str, Callable[[], Tracker]]:
    """By name what starts each tracker that the config asks for, which calls this training by its `title`."""
    return {name: partial(_KINDS[name], pool, title) for name in pool.trackers}


class Telling:
    """Starts trackers and sends them the rows. One that fails is sent nothing more, and the others go on.

    Being watched must not end a training, which may have taken days. What it failed with goes to stderr at once.
    """

    def __init__(self, starting: Mapping[str, Callable[[], Tracker]]) -> None:
        self.warnings: list[str] = []  # one for each that failed
        self._failed: set[str] = set()
        # All of it in one thread, whoever sends: what MLflow started belongs to the thread that started it.
        self._thread = ThreadPoolExecutor(1)
        self._started: dict[str, Future[Tracker]] = {}
        for name, start in starting.items():
            self._started[name] = self._ask(name, "was told nothing", start)

    def log(self, row: Mapping[str, Any]) -> None:
        for name, tracker in self._started.items():
            if name not in self._failed:
                self._ask(name, f"was told nothing from step {row['step']} on", tracker.result().log, row)

    def close(self) -> None:
        """Closes all, those that failed before too: what they were told may still reach its place."""
        for name, tracker in self._started.items():
            if not tracker.exception():
                self._ask(name, "may lack the last rows", tracker.result().close)
        self._thread.shutdown()

    def _ask(self, name: str, what: str, call: Callable[..., T], *arguments: Any) -> "Future[T]":
        """Waits for the call. Each tracker has errors of its own, which no list here names; a signal goes on."""
        answer = self._thread.submit(call, *arguments)
        error = answer.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        if error is not None and name not in self._failed:
            self._failed.add(name)
            self.warnings.append(
                f"{name} {what}: it failed ({type(error).__name__}, see the log). The training went on without it, and "
                f"its table of metrics has every row. See to {name}'s server and settings before the next one."
            )
            sys.excepthook(type(error), error, error.__traceback__)  # masks secrets, as an address may hold one
        return answer


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row: masses by source, the medians of the scores, everything else as it is."""
    found = {f"train/{name}": float(value) for name, value in row.items() if isinstance(value, int | float)}
    for each in row.get("masses") or ():
        found[f"train/mass/{each['source']}"] = each["mass"]
    for name in ("positive_scores", "negative_scores"):
        if row.get(name):
            found[f"train/{name}/median"] = row[name][len(row[name]) // 2]
    return found
