"""Digests of what a run reads, remembered by path, size and time so that `syneg plan` stays quick."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

_CHUNK = 1 << 20


def cache_folder() -> Path:
    """Where digests and converted models are kept: $SYNEG_CACHE, else the user's cache directory."""
    if given := os.environ.get("SYNEG_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "syneg"


def of_paths(base: Path, paths: Sequence[Path]) -> str:
    """SHA-256 over the names relative to `base` and the contents of `paths`, in their order."""
    total = hashlib.sha256()
    for path in paths:
        total.update(f"{path.relative_to(base).as_posix()}\0{of_file(path)}\n".encode())
    return total.hexdigest()


def of_file(path: Path) -> str:
    """SHA-256 of one file. A file of the same size and modification time (ns) is not read again."""
    status = path.stat()
    key = hashlib.sha256(f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()
    note = cache_folder() / "digests" / f"{key}.json"
    try:
        return json.loads(note.read_text())["sha256"]
    except (OSError, ValueError, KeyError):
        pass  # not seen yet, or the note is damaged: read the file
    found = hashlib.sha256()
    with path.open("rb") as file:
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
