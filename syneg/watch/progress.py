"""How far a run is: the record `{root}/runs/{name}/progress.json`, which its driver puts anew every few seconds."""

import re
import time
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from syneg.errors import StoreError
from syneg.store import files, layout

_COUNT = re.compile(r"(\d[\d,]*)/(\d[\d,]*)")
_DONE = re.compile(r"(\d[\d,]*) rows")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StageProgress(_Record):
    """One stage. `done` of `total` is what its last line counted: rows, answers or steps."""

    state: Literal["running", "done", "reused", "failed"] = "running"
    fingerprint: str | None = None
    began: float  # seconds since 1970, UTC, as all times here
    seconds: float = 0.0
    message: str = ""
    done: int | None = None
    total: int | None = None
    first: tuple[float, int] | None = None  # when the first count came, and what it was
    rows_in: int | None = None
    rows_out: int | None = None
    rejected: dict[str, int] = {}

    def count(self, message: str, now: float) -> None:
        """Takes one line of the stage, such as "128/256 answers" or "1,024 rows"."""
        self.message, self.seconds = message, now - self.began
        if found := _COUNT.search(message):
            self.done, self.total = _number(found[1]), _number(found[2])
        elif found := _DONE.search(message):
            self.done = _number(found[1])
        if self.done is not None and self.first is None:
            self.first = (now, self.done)

    def rate(self) -> float | None:
        """Rows a second since the first count; what an earlier attempt stored and a model's start do not count."""
        if self.first is None or self.done is None:
            return None
        seconds = self.began + self.seconds - self.first[0]
        return (self.done - self.first[1]) / seconds if seconds > 0 and self.done > self.first[1] else None

    def seconds_left(self) -> float | None:
        rate = self.rate()
        return (self.total - self.done) / rate if rate and self.total is not None and self.done is not None else None


class RunProgress(_Record):
    """One run, by its driver."""

    run: str
    state: Literal["running", "done", "failed", "stopped"] = "running"
    message: str = ""  # why it ended, if not well
    job: str | None = None  # Ray's submission id
    began: float
    updated: float
    beat_seconds: float
    stages: dict[str, StageProgress] = {}
    planned: tuple[str, ...] = ()
    usd: float | None = None  # estimated, from the prices under resources

    def silent_for(self, now: float) -> float | None:
        """Seconds without a sign of life, if that is longer than a slow put explains."""
        silence = now - self.updated
        return silence if self.state == "running" and silence > 6 * self.beat_seconds else None


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def path(run_folder: str) -> str:
    return files.join(run_folder, layout.PROGRESS)


def load(run_folder: str) -> RunProgress | None:
    """None where no run has begun.

    Raises:
        StoreError: the record cannot be read.
    """
    where = path(run_folder)
    if not files.exists(where):
        return None
    try:
        return RunProgress.model_validate_json(files.read(where))
    except ValidationError as error:
        raise StoreError(
            f"{where} cannot be read ({error}). While the run goes on, its next beat replaces it within seconds. Once "
            "it has ended, remove this file: it says how far the run was, and nothing stands on it."
        ) from error


def watched(run_folder: str) -> tuple[RunProgress, float] | None:
    """The record, and the time to judge its silence by; None where no run has begun.

    The driver's clock may be behind ours: what seems silent is looked at again two beats later, and lives if it moved.

    Raises:
        StoreError: as `load`.
    """
    found, now = load(run_folder), time.time()
    if found is None or found.silent_for(now) is None:
        return (found, now) if found else None
    time.sleep(2 * found.beat_seconds)
    again = load(run_folder) or found
    return again, (now if again.updated == found.updated else again.updated)


def clock(seconds: float) -> str:
    """3,725 seconds as "1 h 02 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
