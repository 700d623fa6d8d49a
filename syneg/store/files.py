"""The one door to stored objects: on a disk (`disk.py`) or in object storage (`s3.py`), told apart by the address.

A put is atomic: a reader sees the whole object or none.
"""

import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from syneg.errors import BadInput, StoreError
from syneg.settings.address import flaw
from syneg.store import disk
from syneg.store.entry import Entry


class _Storage(Protocol):
    def exists(self, path: str) -> bool: ...

    def entry(self, path: str) -> Entry: ...

    def open_read(self, path: str) -> BinaryIO: ...

    def read(self, path: str) -> bytes: ...

    def put_chunks(self, path: str, chunks: Iterable[bytes]) -> None: ...

    def create(self, path: str, content: bytes) -> bool: ...

    def entries_below(self, folder: str) -> Iterator[Entry]: ...

    def delete(self, path: str) -> None: ...


def is_remote(path: str) -> bool:
    return "://" in path


def _checked(path: str) -> str:
    """`path`. Raises BadInput for half an address (s3:/bucket), which would be a folder called s3: on this machine."""
    if wrong := flaw(path):
        raise BadInput(f"{wrong}.")
    return path


def _storage(path: str) -> _Storage:
    if not is_remote(_checked(path)):
        return disk
    from syneg.store import s3  # s3fs takes a second to import, which a run on a disk need not wait for

    return s3


def join(folder: str, *names: str) -> str:
    return "/".join([_checked(folder).rstrip("/"), *names])


def absolute(path: str) -> str:
    """`path` as every process of a run reads it: workers of Ray Train have a working directory of their own."""
    return path if is_remote(_checked(path)) else str(Path(path).expanduser().absolute())


def looked_from(path: str) -> str:
    """What to say behind a relative `path` that is not there; nothing of another one."""
    if is_remote(path) or Path(path).expanduser().is_absolute():
        return ""
    return f" (looked from {Path.cwd()}: paths are relative to where syneg is called, not to the config)"


def exists(path: str) -> bool:
    """Whether there is an object at `path`, or anything below it."""
    return _storage(path).exists(path)


def check_vacant(folder: str) -> None:
    """Raises BadInput unless nothing is at `folder` or below it, nor on a disk a file above it."""
    if any(entries_below(folder)):
        raise BadInput(f"{folder} exists already and is not an empty folder. Give a new folder; nothing was written.")
    check_folder(folder)


def check_folder(folder: str) -> None:
    """Raises BadInput if on a disk a file is at `folder` or above it."""
    for path in () if is_remote(folder) else (Path(folder), *Path(folder).parents):
        if path.exists() and not path.is_dir():
            raise BadInput(
                f"{folder} cannot be a folder: {path} exists already, as a file. Give a new one; nothing was written."
            )


def entry(path: str) -> Entry:
    """Size and version of one object. Raises FileNotFoundError."""
    return _storage(path).entry(path)


def open_read(path: str) -> BinaryIO:
    """For what is too large to hold. Raises FileNotFoundError as `read` does."""
    return _storage(path).open_read(path)


def read(path: str) -> bytes:
    return _storage(path).read(path)


def put(path: str, content: bytes) -> None:
    """Writes `path` whole, replacing what was there."""
    put_chunks(path, [content])


def put_chunks(path: str, chunks: Iterable[bytes]) -> None:
    """As `put`, with content that need not fit in memory. Nothing is left at `path` if `chunks` fails."""
    _storage(path).put_chunks(path, chunks)


def create(path: str, content: bytes) -> bool:
    """Writes `path` if nothing is there. False if something does: of two writers exactly one gets True."""
    return _storage(path).create(path, content)


def entries_below(folder: str) -> Iterator[Entry]:
    """Every object below `folder`, sorted by name. Nothing if the folder does not exist."""
    return _storage(folder).entries_below(folder)


def files_below(folder: str) -> Iterator[tuple[str, int]]:
    """Paths relative to `folder`, sorted, with sizes in bytes. Nothing if the folder does not exist."""
    return ((entry.name, entry.bytes) for entry in entries_below(folder))


def unfinished_below(folder: str) -> Iterator[tuple[str, Entry]]:
    """What puts that were killed left below `folder`: the name that each was for, and the file. Nothing in object
    storage, where an upload that was not completed is no object: a bucket's lifecycle rule ends it."""
    return iter(()) if is_remote(folder) else disk.unfinished_below(folder)


def delete(path: str) -> None:
    """Removes `path`; nothing happens if it is not there."""
    _storage(path).delete(path)


def check_writable(folder: str) -> None:
    """Raises BadInput unless a file can be made in `folder`, once and only once, and removed again.

    The file is called the same every time, so that no more than one is ever left. Where it stands already, because
    another run looks at this moment or because nothing may be removed, the refusal to make it says enough.
    """
    probe = join(folder, ".writable")
    try:
        made = create(probe, uuid.uuid4().bytes)
        only_once = not made or not create(probe, uuid.uuid4().bytes)
    except (OSError, StoreError) as error:
        raise BadInput(
            f"store.root: {folder} is not writable ({_reason(folder, error)}). "
            "Give a folder that this user may write to, e.g. store.root=out."
        ) from error
    try:
        delete(probe if made else f"{probe}-{uuid.uuid4().hex}")  # what another run has made is its own
    except (OSError, StoreError) as error:
        raise BadInput(
            f"store.root: {folder} can be written to, but nothing there may be removed ({_reason(folder, error)}), as "
            "old checkpoints of a training have to be. Allow it (s3:DeleteObject in a bucket), or give another folder. "
            f"{probe} may be left there."
        ) from error
    if not only_once:
        raise BadInput(
            f"store.root: the server of {folder} replaces an object that was to be created only once, so two drivers "
            "could mix their output. Expected a server that honours If-None-Match, as AWS S3 does."
        )


def _reason(folder: str, error: OSError | StoreError) -> str:
    """What the system said of a disk, without what the store adds to it; of object storage all."""
    said = error if is_remote(folder) else error.__cause__ or error
    return str(getattr(said, "strerror", None) or error)
