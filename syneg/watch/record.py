"""What a run depends on: the record `{root}/runs/{name}/run.json`, put anew whenever one of its stages has finished.

`syneg show`, `export`, `verify` and `compare` read it, and `syneg gc` keeps what it names. Under one name run.json is
the newest run's; the record of an earlier one that depends on something else is kept beside it as run-DIGEST.json.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from syneg.config.run import RunConfig
from syneg.errors import StoreError, SynegError
from syneg.pipeline import pipeline
from syneg.stage import Stage
from syneg.store import files, layout
from syneg.store.manifest import Manifest


class Record(BaseModel):
    """`stages`: fingerprints of those that are done, in the order of the graph."""

    model_config = ConfigDict(frozen=True)

    name: str
    stages: dict[str, str]
    config: dict[str, Any]
    model: str = ""  # the fingerprint of the training whose model lies whole in the run's folder

    @property
    def digest(self) -> str:
        content = json.dumps([self.stages, self.config], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[: layout.RECORD_DIGITS]


def path(run_folder: str) -> str:
    return files.join(run_folder, layout.RECORD)


def load(address: str) -> Record | None:
    """None where there is no such record.

    Raises:
        StoreError: it is there and cannot be read.
    """
    if not files.exists(address):
        return None
    try:
        return Record.model_validate_json(files.read(address))
    except ValidationError as error:
        raise StoreError(
            f"{address} cannot be read as the record of a run ({error}). Remove it and run again: what is done is used."
        ) from error


def put(run_folder: str, config: RunConfig, stages: Mapping[str, str], model: str | None = None) -> str:
    """Makes this run the newest of its name. Returns the address of its record.

    `model`: the training whose model lies in the folder now, "" for none; without it what was said before remains.

    Raises:
        StoreError: the record that is there cannot be read.
    """
    address = path(run_folder)
    before = load(address)
    if before and not before.stages.items() <= stages.items():
        _put(files.join(run_folder, layout.earlier_record(before.digest)), before)
    if model is None:
        model = before.model if before else ""
    made = Record(name=config.name, stages=dict(stages), config=config.model_dump(mode="json"), model=model)
    if made != before:
        _put(address, made)
    return address


def _put(address: str, record: Record) -> None:
    files.put(address, record.model_dump_json(indent=1).encode())


def earlier(run_folder: str) -> list[str]:
    """The records of other runs under this name, the one that was the newest last comes first."""
    newest = load(path(run_folder))
    own = layout.earlier_record(newest.digest) if newest else ""  # of a run that was made again after another one
    found = [
        entry for entry in files.entries_below(run_folder) if layout.is_earlier_record(entry.name) and entry.name != own
    ]
    return [files.join(run_folder, entry.name) for entry in sorted(found, key=lambda entry: -entry.modified)]


class RecordWriter:
    """A `pipeline.Listener` that keeps the record while the run goes on, so that one that is stopped has it, too.

    A put that fails is left to the next stage: a record must not end a run.
    """

    def __init__(self, config: RunConfig, run_folder: str) -> None:
        self._config = config
        self._folder = run_folder
        self._stages: dict[str, str | None] = {}  # all of the run in their order; None: not done

    def started(self, stage: Stage) -> None:
        if self._stages:
            return
        with suppress(OSError, SynegError):
            steps = pipeline.look(self._config)
            self._stages = {step.stage.name: step.fingerprint if step.done else None for step in steps}
        self._write()

    def progressed(self, stage: Stage, message: str) -> None:
        """Nothing is done yet."""

    def finished(self, stage: Stage, result: Manifest, reused: bool) -> None:
        if self._stages.get(stage.name) != result.fingerprint:
            self._stages[stage.name] = result.fingerprint
            self._write()

    def _write(self) -> None:
        done = {name: fingerprint for name, fingerprint in self._stages.items() if fingerprint}
        if done:
            with suppress(OSError, SynegError):
                put(self._folder, self._config, done)
