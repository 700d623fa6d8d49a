"""Objects on this machine's disk, or on a file system that all machines mount: the functions of `store.files`."""

import errno
import os
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from syneg.errors import StoreError
from syneg.store.entry import Entry

_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{32}\.tmp")  # as `_durably_written` calls it
_MAKE_ROOM = "make room there"
_GIVE_RIGHTS = "let this user write there"
_WHAT_TO_DO = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EFBIG: "raise the limit to the size of a file (`ulimit -f`, or the file system's own)",
    errno.EROFS: _GIVE_RIGHTS,
    errno.EACCES: _GIVE_RIGHTS,
    errno.EPERM: _GIVE_RIGHTS,
}


def entry(path: str) -> Entry:
    return _entry(Path(path), Path(path).name)


def _entry(path: Path, name: str) -> Entry:
    status = path.stat()
    # `touch -d` and `cp -p` set the first time, but not the second one; a file that is moved here has another inode.
    version = f"{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"
    return Entry(name, status.st_size, status.st_mtime, version)


def exists(path: str) -> bool:
    return Path(path).exists()


def open_read(path: str) -> BinaryIO:
    return Path(path).open("rb")


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def put_chunks(path: str, chunks: Iterable[bytes]) -> None:
    target = Path(path)
    with _durably_written(target, chunks) as temporary:
        temporary.replace(target)


def create(path: str, content: bytes) -> bool:
    target = Path(path)
    with _durably_written(target, [content]) as temporary:
        try:
            os.link(temporary, target)  # unlike rename, fails if the target exists; unlike O_EXCL, never half-written
        except FileExistsError:
            return False
    return True


@contextmanager
def _durably_written(target: Path, chunks: Iterable[bytes]) -> Iterator[Path]:
    """A temporary file beside `target` that holds `chunks` on the disk; removed at the end if it is still there.

    Raises:
        StoreError: the disk is full, or does not let this user write.
    """
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.writelines(chunks)
                file.flush()
                os.fsync(file.fileno())
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in _WHAT_TO_DO:
            raise
        raise StoreError(
            f"{target} cannot be written ({error.strerror}). What is stored is kept: "
            f"{_WHAT_TO_DO[error.errno]}, then run the same command again."
        ) from error


def entries_below(folder: str) -> Iterator[Entry]:
    return (entry for entry in _all_below(folder) if not entry.name.endswith(".tmp"))


def unfinished_below(folder: str) -> Iterator[tuple[str, Entry]]:
    """What a put that was killed left, or one that goes on has written so far: for which name below `folder`, and the
    file."""
    for entry in _all_below(folder):
        above, _, name = entry.name.rpartition("/")
        if found := _TEMPORARY.fullmatch(name):
            yield f"{above}/{found[1]}" if above else found[1], entry


def _all_below(folder: str) -> Iterator[Entry]:
    root = Path(folder)
    for name in sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()):
        with suppress(FileNotFoundError):  # removed since
            yield _entry(root / name, name)


def delete(path: str) -> None:
    Path(path).unlink(missing_ok=True)
