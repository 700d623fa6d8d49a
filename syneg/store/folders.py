"""Whole folders of files: a model, a checkpoint. Usable from any process of a job, on a disk and on object storage.

A sealed folder exists from the moment at which its list of files was written, which is the last thing written: a reader
sees all of it or nothing, whoever dies when.
"""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from syneg.errors import StoreError
from syneg.store import files
from syneg.store.manifest import Part

_SEAL = "whole.json"
_PARTS = TypeAdapter(list[Part])
_CHUNK = 1 << 22


def put(source: Path, folder: str) -> list[Part]:
    """Copies every file below `source` to `folder`, and says what was put. What is large is never held in memory."""
    paths = [path for path in sorted(source.rglob("*")) if path.is_file()]
    return [_put_file(path, folder, path.relative_to(source).as_posix()) for path in paths]


def _put_file(path: Path, folder: str, name: str) -> Part:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:

        def chunks() -> Iterable[bytes]:
            nonlocal size
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                yield chunk

        files.put_chunks(files.join(folder, name), chunks())
    return Part(name=name, bytes=size, sha256=digest.hexdigest())


def seal(folder: str, parts: Iterable[Part]) -> None:
    """Makes `folder` whole: the last step, by one process, once every process has put its files.

    Several processes may put files into one folder (each its own names) and send what `put` returned to the one that
    seals. Give every attempt a folder name of its own, so that two never write the same object.
    """
    files.put(files.join(folder, _SEAL), _PARTS.dump_json(list(parts), indent=1))


def whole(below: str) -> list[str]:
    """The sealed folders right below `below`, the last by name first: name checkpoints `step-00000120-...`."""
    names = {
        path.split("/")[0] for path, _ in files.files_below(below) if path.count("/") == 1 and path.endswith(_SEAL)
    }
    return [files.join(below, name) for name in sorted(names, reverse=True)]


def fetch(folder: str, target: Path) -> None:
    """Brings a sealed folder to `target` on this machine, every checksum verified.

    Raises:
        StoreError: the folder is not sealed, or a file is missing or damaged.
    """
    try:
        parts = _PARTS.validate_json(files.read(files.join(folder, _SEAL)))
    except FileNotFoundError as error:
        raise StoreError(f"{folder} is not whole: it has no {_SEAL}. Expected a folder that was sealed.") from error
    except ValidationError as error:
        raise StoreError(f"{folder}/{_SEAL} cannot be read ({error}). Remove this folder to go on.") from error
    fetch_parts(folder, parts, target)


def fetch_parts(folder: str, parts: Iterable[Part], target: Path) -> None:
    """Brings the files `parts` of `folder` to `target`, every checksum verified. Raises StoreError as `fetch`."""
    for part in parts:
        path = target / part.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            _read(folder, part, file.write)


def check_part(folder: str, part: Part) -> None:
    """Reads one file to the end. Raises StoreError if it is missing or damaged."""
    _read(folder, part, lambda chunk: None)


def _read(folder: str, part: Part, take: Callable[[bytes], Any]) -> None:
    digest = hashlib.sha256()
    try:
        with files.open_read(files.join(folder, part.name)) as source:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                take(chunk)
    except FileNotFoundError as error:
        raise StoreError(f"{folder} lacks {part.name}, which its list names. Remove it to go on.") from error
    if digest.hexdigest() != part.sha256:
        raise StoreError(
            f"{folder}/{part.name} is damaged: its checksum differs from the listed one "
            f"({part.bytes:,} bytes were written). Remove this folder to go on."
        )


def copy(source: str, target: str) -> None:
    """One file from one place in the store to another, never held whole."""
    with files.open_read(source) as file:
        files.put_chunks(target, iter(lambda: file.read(_CHUNK), b""))


def remove(folder: str) -> None:
    """Deletes every file below `folder`, its seal first: a half-removed folder is not whole."""
    names = sorted((name for name, _ in files.files_below(folder)), key=lambda name: name != _SEAL)
    for name in names:
        files.delete(files.join(folder, name))
