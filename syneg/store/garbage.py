"""What lies under a root and nobody stands on: what killed attempts left, and outputs that no run names."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from syneg.store import files, manifest
from syneg.store.entry import Entry
from syneg.store.manifest import Manifest

_MANIFEST = "manifest.json"
_RECORDS = {"runs": "run.json", "evaluations": "evaluation.json"}
_FINGERPRINT_DIGITS = 16


@dataclass(frozen=True)
class Garbage:
    """Some objects of one output, by their paths below the root, and why they are no longer needed."""

    output: str  # "stage/fingerprint"
    why: str
    objects: tuple[Entry, ...]

    @property
    def bytes(self) -> int:
        return sum(entry.bytes for entry in self.objects)


def find(root: str, before: float) -> Iterator[Garbage]:
    """Garbage that was last written before `before` (Unix seconds).

    An output without a manifest is judged by its youngest object: a run that has been writing it for days still does.
    """
    outputs: dict[str, list[Entry]] = defaultdict(list)
    records = []
    for entry in files.entries_below(root):
        stage, _, inside = entry.name.partition("/")
        fingerprint, _, name = inside.partition("/")
        if stage in _RECORDS:
            records += [entry.name] if name == _RECORDS[stage] else []
        elif name and _is_fingerprint(fingerprint):
            outputs[f"{stage}/{fingerprint}"].append(entry)
    named = set(_named(root, records))
    for output, entries in sorted(outputs.items()):
        old = max(entry.modified for entry in entries) < before
        made = manifest.load(root, *output.split("/"))
        if made is None:
            why, objects = "it was not finished", entries if old else []
        elif output not in named:
            why, objects = "no run names it", entries if old else []
        else:
            listed = set(_listed(output, made))
            why = "its manifest does not list them"
            objects = [entry for entry in entries if entry.name not in listed and entry.modified < before]
        if objects:
            yield Garbage(output, why, tuple(objects))


def _is_fingerprint(name: str) -> bool:
    return len(name) == _FINGERPRINT_DIGITS and not set(name) - set("0123456789abcdef")


def _named(root: str, records: Iterable[str]) -> Iterator[str]:
    for record in records:
        content = json.loads(files.read(files.join(root, record)))
        yield from content.get("outputs", ())  # of an evaluation
        for stage, fingerprint in content.get("stages", {}).items():
            yield f"{stage}/{fingerprint}"


def _listed(output: str, made: Manifest) -> Iterator[str]:
    yield f"{output}/{_MANIFEST}"
    for name, listed in (made.tables | made.folders).items():
        yield from (f"{output}/{made.places.get(name, name)}/{part.name}" for part in listed)


def remove(root: str, garbage: Garbage) -> None:
    """The manifest goes first: an output that is half removed is not taken for a finished one."""
    for entry in sorted(garbage.objects, key=lambda entry: not entry.name.endswith(f"/{_MANIFEST}")):
        files.delete(files.join(root, entry.name))
