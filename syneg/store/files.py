"""The one module that touches files. A put is atomic: a reader sees the whole object or none."""

import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from syneg.errors import BadInput


def is_remote(path: str) -> bool:
    return "://" in path


def _local(path: str) -> Path:
    if is_remote(path):
        raise BadInput(f"{path}: object storage cannot be used yet; expected a path on this machine's disk.")
    return Path(path)


def join(folder: str, *names: str) -> str:
    return "/".join([folder.rstrip("/"), *names])


def exists(path: str) -> bool:
    return _local(path).exists()


def open_read(path: str) -> BinaryIO:
    return _local(path).open("rb")


def read(path: str) -> bytes:
    return _local(path).read_bytes()


def put(path: str, content: bytes) -> None:
    """Writes `path` whole, replacing what stood there."""
    put_chunks(path, [content])


def put_chunks(path: str, chunks: Iterable[bytes]) -> None:
    """As `put`, with content that need not fit in memory. Nothing is left at `path` if `chunks` fails."""
    target = _local(path)
    with _durably_written(target, chunks) as temporary:
        temporary.replace(target)


def create(path: str, content: bytes) -> bool:
    """Writes `path` if nothing stands there. False if something does: of two writers exactly one gets True."""
    target = _local(path)
    with _durably_written(target, [content]) as temporary:
        try:
            os.link(temporary, target)  # unlike rename, fails if the target exists; unlike O_EXCL, never half-written
        except FileExistsError:
            return False
    return True


@contextmanager
def _durably_written(target: Path, chunks: Iterable[bytes]) -> Iterator[Path]:
    """A temporary file beside `target` that holds `chunks` on the disk; removed at the end if it is still there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def files_below(folder: str) -> Iterator[tuple[str, int]]:
    """Paths relative to `folder`, sorted, with sizes in bytes. Nothing if the folder does not exist."""
    root = _local(folder)
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.name.endswith(".tmp"):
            yield path.relative_to(root).as_posix(), path.stat().st_size


def delete(path: str) -> None:
    """Removes `path`; nothing happens if it is not there."""
    _local(path).unlink(missing_ok=True)


def check_writable(folder: str) -> None:
    """Raises BadInput unless a file can be made in `folder`, which is created if absent."""
    probe = join(folder, f".writable-{uuid.uuid4().hex}")
    try:
        put(probe, b"")
        _local(probe).unlink()
    except OSError as error:
        raise BadInput(
            f"store.root: {folder} is not writable ({error.strerror or error}). "
            "Give a folder that this user may write to, e.g. store.root=out."
        ) from error
