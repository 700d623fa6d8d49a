"""What the workers tell the driver while they train."""

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from syneg import schemas


@dataclass
class Journal:
    """Keeps rows by step and worker, so that a step that is trained again after a failure replaces itself."""

    _line: str = "starting"
    _metrics: dict[int, dict[str, Any]] = field(default_factory=dict)
    _similarities: dict[tuple[int, int], pa.Table] = field(default_factory=dict)

    def metrics(self, row: dict[str, Any], line: str) -> None:
        """One step's row of the metrics table, and what to show of it."""
        self._metrics[row["step"]] = row
        self._line = line

    def similarities(self, step: int, rank: int, rows: pa.Table) -> None:
        self._similarities[step, rank] = rows

    def line(self) -> str:
        return self._line

    def tables(self) -> dict[str, pa.Table]:
        """Everything in the order of steps and ranks."""
        metrics = pa.Table.from_pylist([self._metrics[step] for step in sorted(self._metrics)], schemas.METRICS)
        similarities = [self._similarities[place] for place in sorted(self._similarities)]
        return {
            "metrics": metrics,
            "similarities": pa.concat_tables([schemas.SIMILARITIES.empty_table(), *similarities]),
        }
