"""TensorBoard, MLflow and Weights & Biases, for those who ask: the driver tells them every row of the metrics.

Where MLflow and Weights & Biases send things is theirs to know (MLFLOW_TRACKING_URI, WANDB_PROJECT, ...).
"""

import importlib
from collections.abc import Mapping
from typing import Any, Protocol

from syneg.errors import BadInput
from syneg.settings.resources import TrainResources


class Tracker(Protocol):
    def log(self, row: Mapping[str, Any]) -> None:
        """One row of `schemas.METRICS`."""
        ...

    def close(self) -> None: ...


class TensorBoard:
    def __init__(self, pool: TrainResources) -> None:
        self._writer = _module("tensorboardX", "tensorboard").SummaryWriter(pool.tensorboard_folder)

    def log(self, row: Mapping[str, Any]) -> None:
        for name, value in scalars(row).items():
            self._writer.add_scalar(name, value, row["step"])

    def close(self) -> None:
        self._writer.close()


class MlFlow:
    def __init__(self, pool: TrainResources) -> None:
        self._mlflow = _module("mlflow", "mlflow")
        self._mlflow.start_run()

    def log(self, row: Mapping[str, Any]) -> None:
        self._mlflow.log_metrics(scalars(row), step=row["step"])

    def close(self) -> None:
        self._mlflow.end_run()


class Wandb:
    def __init__(self, pool: TrainResources) -> None:
        self._run = _module("wandb", "wandb").init()

    def log(self, row: Mapping[str, Any]) -> None:
        self._run.log(scalars(row), step=row["step"])

    def close(self) -> None:
        self._run.finish()


_KINDS = {"tensorboard": TensorBoard, "mlflow": MlFlow, "wandb": Wandb}


def trackers(pool: TrainResources) -> list[Tracker]:
    """Those that the config asks for. Raises BadInput if one is not installed."""
    return [_KINDS[name](pool) for name in pool.trackers]


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row: masses by source, the medians of the scores, everything else as it is."""
    found = {f"train/{name}": float(value) for name, value in row.items() if isinstance(value, int | float)}
    for each in row.get("masses") or ():
        found[f"train/mass/{each['source']}"] = each["mass"]
    for name in ("positive_scores", "negative_scores"):
        if row.get(name):
            found[f"train/{name}/median"] = row[name][len(row[name]) // 2]
    return found


def _module(name: str, tracker: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BadInput(
            f"resources.train.trackers asks for {tracker}, but the package {name} is not installed. "
            f"Install it (pip install {name}), or leave {tracker} out."
        ) from error
