"""A run in Ray's metrics, so that the cluster's Prometheus has it: see cluster/grafana/syneg.json."""

import time
from typing import Any

from syneg.stage import Stage
from syneg.store.manifest import Manifest
from syneg.watch.progress import StageProgress

_TOKENS = ("input_tokens", "output_tokens")


class RayMetrics:
    """Gauges by run and stage, set by the driver. A metric is made at the first use of it after Ray is up."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._gauges: dict[str, Any] = {}
        self._stages: dict[str, StageProgress] = {}

    def started(self, stage: Stage) -> None:
        self._stages[stage.name] = StageProgress(began=time.time())

    def progressed(self, stage: Stage, message: str) -> None:
        known = self._stages[stage.name]
        known.count(message, time.time())
        for name, value in (("done", known.done), ("total", known.total), ("rate", known.rate())):
            if value is not None:
                self._set(f"syneg_stage_{name}", value, stage.name)

    def finished(self, stage: Stage, result: Manifest, reused: bool) -> None:
        self._set("syneg_rows_accepted", result.rows_out, stage.name)
        self._set("syneg_stage_seconds", result.seconds, stage.name)
        self._set("syneg_storage_retries", result.retries, stage.name)
        for reason, rows in result.rejected.items():
            self._set("syneg_rows_rejected", rows, stage.name, reason=reason)
        for name in _TOKENS:
            if isinstance(tokens := result.facts.get(name), int):
                self._set(f"syneg_{name}", tokens, stage.name)

    def _set(self, name: str, value: float, stage: str, **more: str) -> None:
        import ray

        if not ray.is_initialized():
            return
        if name not in self._gauges:
            from ray.util.metrics import Gauge

            self._gauges[name] = Gauge(name, tag_keys=("run", "stage", *more))
        self._gauges[name].set(value, {"run": self._run, "stage": stage, **more})
