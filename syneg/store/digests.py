"""Digests of what a run reads, remembered by address, size and version so that `syneg plan` stays quick."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from syneg.errors import BadInput
from syneg.store import files
from syneg.store.entry import Entry

_CHUNK = 1 << 22


def cache_folder() -> Path:
    """Where digests, and models from elsewhere, are kept on this node: $SYNEG_CACHE, else the user's cache.

    Raises:
        BadInput: neither is known.
    """
    if given := os.environ.get("SYNEG_CACHE"):
        return Path(given)
    if known := os.environ.get("XDG_CACHE_HOME"):
        return Path(known) / "syneg"
    try:
        return Path.home() / ".cache" / "syneg"
    except RuntimeError as error:
        raise BadInput(
            "This user has no home folder (HOME is not set, and the system knows none), so there is no place to keep "
            "the digests of what is read. Name a folder that may be written to by SYNEG_CACHE."
        ) from error


def of_file(path: str) -> str:
    """SHA-256 of one file. Raises FileNotFoundError."""
    return _of_entry(path, files.entry(path))


def of_files(folder: str, names: Sequence[str]) -> str:
    """SHA-256 over `names` and their contents in `folder`, in this order."""
    return of_parts((name, of_file(files.join(folder, name))) for name in names)


def of_folder(folder: str, without: str = "") -> str:
    """As `of_files`, of everything below `folder` but a file of the name `without`: equal wherever the same files lie,
    on a disk or in a bucket."""
    return of_parts(
        (entry.name, _of_entry(files.join(folder, entry.name), entry))
        for entry in files.entries_below(folder)
        if entry.name != without
    )


def of_parts(parts: Iterable[tuple[str, str]]) -> str:
    """The digest of a folder, from the names of its files and their digests."""
    total = hashlib.sha256()
    for name, digest in parts:
        total.update(f"{name}\0{digest}\n".encode())
    return total.hexdigest()


def _of_entry(path: str, entry: Entry) -> str:
    """A file of the same address, size and version is not read again."""
    place = path if files.is_remote(path) else str(Path(path).resolve())
    key = hashlib.sha256(f"{place}\0{entry.bytes}\0{entry.version}".encode()).hexdigest()
    note = cache_folder() / "digests" / f"{key}.json"
    try:
        return json.loads(note.read_text())["sha256"]
    except (OSError, ValueError, KeyError):
        pass  # not seen yet, or the note is damaged: read the file
    found = hashlib.sha256()
    with files.open_read(path) as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    _remember(note, found.hexdigest())
    return found.hexdigest()


def _remember(note: Path, digest: str) -> None:
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps({"sha256": digest}))
    except OSError:
        pass  # a cache that cannot be written costs time, nothing else
