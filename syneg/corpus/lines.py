"""Text files by whole lines: bounded memory, gzip by suffix, every failure with its file and line.

A line ends at "\\n" alone (U+2028 and its like are text); "\\r" before it is dropped. A byte order mark is skipped, and
so are lines of white space.
"""

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import BinaryIO, TypeVar, cast

from syneg.errors import BadInput
from syneg.store import files

_BLOCK_BYTES = 1 << 24  # a passage of 100,000 tokens is half a megabyte
FAULTS = 5  # of one file that are told at once
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Row = TypeVar("Row")


@dataclass(frozen=True)
class Block:
    """Some whole lines of a file; `first_line` counts from 1."""

    path: str
    first_line: int
    content: bytes

    @cached_property
    def line_count(self) -> int:
        return self.content.count(b"\n") + (not self.content.endswith(b"\n"))

    def numbered(self) -> Iterator[tuple[int, str]]:
        """The lines that hold something, with their numbers. Lone surrogates stay in."""
        for number, line in enumerate(self._decoded().split("\n"), self.first_line):
            if line and not line.isspace():
                yield number, line.removesuffix("\r")

    def _decoded(self) -> str:
        try:
            return self.content.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            line = self.first_line + self.content.count(b"\n", 0, error.start)
            seen = self.content[error.start]
            raise BadInput(
                f"{self.path}:{line}: byte 0x{seen:02x} is not UTF-8. Expected UTF-8 text; convert the file first."
            ) from error


def blocks(path: str) -> Iterator[Block]:
    """The file in blocks of around 16 MiB.

    Raises:
        BadInput: the file is missing, unreadable or no whole gzip.
    """
    line, rest = 1, b""
    with _opened(path) as file:
        while chunk := _read(file, path):
            if line == 1 and not rest:
                chunk = chunk.removeprefix(_BYTE_ORDER_MARK)
            whole, newline, tail = chunk.rpartition(b"\n")
            if newline:
                block = Block(path, line, rest + whole + newline)
                yield block
                line += block.line_count
                rest = tail
            else:
                rest += chunk
    if rest:
        yield Block(path, line, rest)


def numbered(path: str) -> Iterator[tuple[int, str]]:
    """Every line of the file that holds something, with its number."""
    for block in blocks(path):
        yield from block.numbered()


def parsed(lines: Iterable[tuple[int, str]], parse: Callable[[int, str], Row]) -> list[Row]:
    """What `parse` makes of each numbered line. Raises BadInput `together` if it refused some of them."""
    rows: list[Row] = []
    faults: dict[str, str] = {}  # the first of each kind
    for number, line in lines:
        try:
            rows.append(parse(number, line))
        except BadInput as error:
            faults.setdefault(str(error).partition(f":{number}: ")[2], str(error))
            if len(faults) == FAULTS:
                break
    if faults:
        raise together(faults.values())
    return rows


def together(faults: Iterable[str]) -> BadInput:
    """Up to FAULTS of a file as one error, so that it is not mended line by line."""
    told = list(islice(faults, FAULTS))
    return BadInput("\n".join([*told, "There may be more."] if len(told) == FAULTS else told))


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    try:
        file = files.open_read(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    with file:
        yield cast(BinaryIO, gzip.GzipFile(fileobj=file)) if path.endswith(".gz") else file


def _read(file: BinaryIO, path: str) -> bytes:
    try:
        return file.read(_BLOCK_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: Exception) -> BadInput:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    expected = "a whole gzip file" if path.endswith(".gz") else "a file that this user may read"
    return BadInput(f"{path}: cannot be read ({reason}). Expected {expected}.")
