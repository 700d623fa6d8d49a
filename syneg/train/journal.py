"""What the workers tell the driver while they train."""

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from syneg import schemas
from syneg.errors import SynegError


@dataclass
class Journal:
    """Keeps rows by step and worker, so that a step that is trained again after a failure replaces itself."""

    _line: str = "starting"
    _metrics: dict[int, dict[str, Any]] = field(default_factory=dict)
    _similarities: dict[tuple[int, int], pa.Table] = field(default_factory=dict)
    _failure: SynegError | None = None

    def metrics(self, row: dict[str, Any], line: str) -> None:
        """One step's row of the metrics table, and what to show of it."""
        self._metrics[row["step"]] = row
        self._line = line

    def say(self, line: str) -> None:
        """What to show where no step has a row."""
        self._line = line

    def similarities(self, step: int, rank: int, rows: pa.Table) -> None:
        self._similarities[step, rank] = rows

    def rewind(self, recorded: dict[str, pa.Table]) -> None:
        """Forgets everything and takes up `recorded`, the tables of the steps before a checkpoint."""
        self._metrics = {row["step"]: row for row in recorded["metrics"].to_pylist()}
        self._similarities = {(-1, 0): recorded["similarities"]}

    def fail(self, failure: SynegError) -> None:
        """Why training must end and not be tried again. The first one counts."""
        self._failure = self._failure or failure

    def failure(self) -> SynegError | None:
        return self._failure

    def line(self) -> str:
        return self._line

    def rows_since(self, step: int) -> list[dict[str, Any]]:
        """The metrics of the steps from `step` on."""
        return [self._metrics[number] for number in sorted(self._metrics) if number >= step]

    def tables(self, since: int = 0) -> dict[str, pa.Table]:
        """The rows of the steps from `since` on, in the order of steps and ranks."""
        metrics = pa.Table.from_pylist(self.rows_since(since), schemas.METRICS)
        similarities = [self._similarities[place] for place in sorted(self._similarities)]
        together = pa.concat_tables([schemas.SIMILARITIES.empty_table(), *similarities])
        return {"metrics": metrics, "similarities": together.filter(pc.field("step") >= since)}
