"""Who hears how a run goes on: several listeners at once, progress.json, the log. Each is a `pipeline.Listener`."""

import json
import os
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO

from syneg import redaction
from syneg.config.run import RunConfig
from syneg.errors import SynegError
from syneg.pipeline import cost
from syneg.pipeline.pipeline import Listener
from syneg.stage import Stage
from syneg.store import files
from syneg.store.manifest import Manifest
from syneg.watch import progress
from syneg.watch.progress import RunProgress, StageProgress

_BEAT_SECONDS = 5.0


class Everyone:
    """Tells several listeners, in their order."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = tuple(listeners)

    def started(self, stage: Stage) -> None:
        for listener in self._listeners:
            listener.started(stage)

    def progressed(self, stage: Stage, message: str) -> None:
        for listener in self._listeners:
            listener.progressed(stage, message)

    def finished(self, stage: Stage, result: Manifest, reused: bool) -> None:
        for listener in self._listeners:
            listener.finished(stage, result, reused)


class ProgressWriter:
    """Puts progress.json every few seconds, so that `syneg status` knows of the run wherever the storage is read.

    A put that fails is left to the next beat: being watched must not end a run.
    """

    def __init__(self, config: RunConfig, run_folder: str, planned: Iterable[str]) -> None:
        now = time.time()
        job = _submission()
        self._config = config
        self._path = progress.path(run_folder)
        self._run = RunProgress(
            run=config.name, job=job, began=now, updated=now, beat_seconds=_BEAT_SECONDS, planned=tuple(planned)
        )
        self._lock = threading.Lock()
        self._putting = threading.Lock()  # one that was overtaken would put back what was
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="progress", daemon=True)

    def __enter__(self) -> "ProgressWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if not self._beating.is_alive():  # nothing had begun: bad input leaves no trace
            return
        self._beating.join()
        with self._lock:
            self._run.state = _how_it_ended(error)
            self._run.message = redaction.redacted(str(error)) if isinstance(error, Exception) else ""
            if error is not None:
                for stage in self._run.stages.values():
                    stage.state = "failed" if stage.state == "running" else stage.state
        self._put()

    def started(self, stage: Stage) -> None:
        with self._lock:
            self._run.stages[stage.name] = StageProgress(began=time.time())
        if not self._beating.is_alive() and not self._ended.is_set():
            self._beating.start()

    def progressed(self, stage: Stage, message: str) -> None:
        with self._lock:
            self._run.stages[stage.name].count(redaction.redacted(message), time.time())

    def finished(self, stage: Stage, result: Manifest, reused: bool) -> None:
        with self._lock:
            known = self._run.stages[stage.name]
            known.state = "reused" if reused else "done"
            known.fingerprint, known.seconds = result.fingerprint, 0.0 if reused else result.seconds
            known.rows_in, known.rows_out, known.rejected = result.rows_in, result.rows_out, result.rejected

    def _beat(self) -> None:
        while True:
            self._put()
            if self._ended.wait(_BEAT_SECONDS):
                return

    def _put(self) -> None:
        with self._putting, suppress(OSError, SynegError):
            files.put(self._path, self._told().encode())

    def _told(self) -> str:
        with self._lock:
            self._run.updated = time.time()
            for stage in self._run.stages.values():
                if stage.state == "running":
                    stage.seconds = self._run.updated - stage.began
            spent = {name: stage.seconds for name, stage in self._run.stages.items()}
            self._run.usd = cost.usd(spent, self._config.resources)
            return self._run.model_dump_json(indent=1)


def _submission() -> str | None:
    """The id of the Ray job that this process is the driver of."""
    told = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
    return told.get("metadata", {}).get("job_submission_id")


def _how_it_ended(error: BaseException | None) -> Any:
    if error is None:
        return "done"
    return "stopped" if isinstance(error, KeyboardInterrupt) else "failed"


class JsonLines:
    """The log as one JSON object a line: time, run, stage, event and what belongs to it. For log collectors."""

    def __init__(self, run: str, stream: TextIO = sys.stdout) -> None:
        self._run = run
        self._stream = stream

    def started(self, stage: Stage) -> None:
        self._write(stage, "started")

    def progressed(self, stage: Stage, message: str) -> None:
        self._write(stage, "progressed", message=message)

    def finished(self, stage: Stage, result: Manifest, reused: bool) -> None:
        self._write(
            stage,
            "finished",
            fingerprint=result.fingerprint,
            reused=reused,
            seconds=result.seconds,
            rows_in=result.rows_in,
            rows_out=result.rows_out,
            rejected=result.rejected,
        )

    def _write(self, stage: Stage, event: str, **content: Any) -> None:
        line = {"time": progress.moment(time.time()), "run": self._run, "stage": stage.name, "event": event, **content}
        self._stream.write(redaction.redacted(json.dumps(line, ensure_ascii=False)) + "\n")
        self._stream.flush()
