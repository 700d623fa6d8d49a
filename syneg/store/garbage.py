"""What lies under a root and nobody depends on: what killed attempts left, and outputs that no run names.

Only what a stage writes is looked at, by its path: a file of somebody else's, wherever it lies, is never garbage.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from syneg.errors import BadInput, StoreError
from syneg.stage import Stage
from syneg.store import files, layout, manifest
from syneg.store.entry import Entry
from syneg.store.manifest import Manifest


class _Names(BaseModel):
    """What a record depends on: of a run its stages' fingerprints, of an evaluation all outputs."""

    stages: dict[str, str] = {}
    outputs: list[str] = []


@dataclass(frozen=True)
class Garbage:
    """Some objects of one output, by their paths below the root, and why they are no longer needed."""

    output: str  # "stage/fingerprint"
    why: str
    objects: tuple[Entry, ...]

    @property
    def bytes(self) -> int:
        return sum(entry.bytes for entry in self.objects)


def find(root: str, before: float, stages: Iterable[Stage]) -> list[Garbage]:
    """Garbage that was last written before `before` (Unix seconds). `stages`: all that may have written below `root`.

    An output without a manifest is judged by its youngest object: a run that has been writing it for days still does.

    What a killed put left on a disk is an object of the output that it was for.

    Raises:
        BadInput: nothing below `root` was written by syneg, or something there may not be read.
        StoreError: a record or a manifest cannot be read, so that what it names is not known.
    """
    written = {stage.name: layout.written_by(stage) for stage in stages}
    try:
        return list(_find(root, before, written))
    except PermissionError as error:
        raise BadInput(
            f"{error.filename or root} may not be read ({error.strerror}). Who may not read all of {root} cannot tell "
            "what is needed there: run this as the user who runs syneg. Nothing was removed."
        ) from error


def _find(root: str, before: float, written: Mapping[str, re.Pattern[str]]) -> Iterator[Garbage]:
    entries = _entries(root)
    outputs: dict[str, list[Entry]] = defaultdict(list)
    for name, entry in [*((entry.name, entry) for entry in entries), *files.unfinished_below(root)]:
        at = layout.in_output(name)
        if at and at.stage in written and written[at.stage].fullmatch(at.inside):
            outputs[at.output].append(entry)
    records = [entry.name for entry in entries if layout.is_record(entry.name)]
    if not outputs and not records and not any(layout.is_progress(entry.name) for entry in entries):
        raise BadInput(
            f"There is no store of syneg here: {root} holds no output (corpus/0123456789abcdef/manifest.json) and no "
            "record of a run. Give the folder that is store.root in the config, e.g. out. Nothing was removed."
        )
    named = set(_named(root, records))
    for output, objects in sorted(outputs.items()):
        yield from _of_output(root, output, objects, output in named, before)


def _entries(root: str) -> list[Entry]:
    """Every object below `root`. Raises PermissionError for a folder that may not be listed: it may hold a record."""
    if not files.exists(root):
        raise BadInput(f"There is nothing at {root}. Give the root of a store, e.g. out.")
    if not files.is_remote(root):
        for _ in os.walk(root, onerror=_stop_if_forbidden):  # the listing below passes over such folders
            pass
    return list(files.entries_below(root))


def _stop_if_forbidden(error: OSError) -> None:
    if isinstance(error, PermissionError):
        raise error


def _of_output(root: str, output: str, entries: Sequence[Entry], named: bool, before: float) -> Iterator[Garbage]:
    """What of one output is garbage. `entries`: the objects that a stage wrote there."""
    old = max(entry.modified for entry in entries) < before
    made = manifest.load(root, *output.split("/"))
    if made is None:
        why, objects = "it was not finished", entries if old else []
    elif not named:
        why, objects = "no run names it", entries if old else []
    else:
        listed = set(_listed(output, made))
        why = "its manifest does not list them"
        objects = [entry for entry in entries if entry.name not in listed and entry.modified < before]
    if objects:
        yield Garbage(output, why, tuple(objects))


def _named(root: str, records: Iterable[str]) -> Iterator[str]:
    for record in records:
        path = files.join(root, record)
        try:
            content = _Names.model_validate_json(files.read(path))
        except ValidationError as error:
            raise StoreError(
                f"{path} cannot be read as a record ({error}), so what it names is not known. Nothing was removed. Run "
                "it again, or remove this file if the run is no longer needed."
            ) from error
        yield from content.outputs
        yield from (f"{stage}/{fingerprint}" for stage, fingerprint in content.stages.items())


def _listed(output: str, made: Manifest) -> Iterator[str]:
    yield f"{output}/{layout.MANIFEST}"
    for name, listed in (made.tables | made.folders).items():
        yield from (f"{output}/{made.places.get(name, name)}/{part.name}" for part in listed)


def remove(root: str, garbage: Garbage) -> None:
    """The manifest goes first: an output that is half removed is not taken for a finished one.

    Raises:
        BadInput: this user may not remove it.
    """
    for entry in sorted(garbage.objects, key=lambda entry: not entry.name.endswith(f"/{layout.MANIFEST}")):
        try:
            files.delete(files.join(root, entry.name))
        except PermissionError as error:
            raise BadInput(
                f"{error.filename} may not be removed ({error.strerror}). What was listed before it is gone; run this "
                "again as a user who may write there."
            ) from error
