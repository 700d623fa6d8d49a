"""One part of a table: a Parquet object whose name is made from its content.

So the same rows put twice are one object, and a part that lies in no manifest can be checked all the same.
"""

import hashlib
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from syneg import rejection, schemas
from syneg.errors import StoreError
from syneg.store import files, layout
from syneg.store.manifest import Part

BLOCK_ROWS = 65_536
READERS = 8  # parts that are read at the same time
_BYTES_AHEAD, _ROWS_AHEAD = 64 * 2**20, 2 * BLOCK_ROWS  # the bytes are compressed


def schema_of(table: str, seen: pa.Schema) -> pa.Schema:
    """The declared schema of `table`; that of embeddings takes its dimensions from what is `seen`."""
    if table.endswith("_vectors"):
        made = schemas.embeddings if "content" in seen.names else schemas.vectors
        return made(seen.field("vector").type.byte_width // 2)
    return getattr(schemas, table.upper())


def put(rows: pa.Table, folder: str, table: str) -> Part:
    """Writes `rows` by one atomic put.

    Raises:
        StoreError: they do not fit the table's schema, or are rejected for a reason that is not on its list.
    """
    fitted = schemas.conform(rows, schema_of(table, rows.schema))
    sink = pa.BufferOutputStream()
    pq.write_table(fitted, sink, compression="zstd", row_group_size=BLOCK_ROWS)
    content = sink.getvalue().to_pybytes()
    part = _part(fitted, content)
    check_reasons(table, part.rejected, rejection.REASONS.get(table, ()))
    files.put(files.join(folder, table, part.name), content)
    return part


def check_reasons(of: str, given: Iterable[str], known: Collection[str]) -> None:
    """Raises StoreError if one of the reasons `given` is not `known`."""
    if strangers := sorted(set(given).difference(known)):
        raise StoreError(f"{of}: rejected for {', '.join(strangers)}, which no list in syneg/schemas.py has.")


def _part(rows: pa.Table, content: bytes) -> Part:
    sha256 = hashlib.sha256(content).hexdigest()
    rejected = Counter(rows["reject_reason"].drop_null().to_pylist()) if "reject_reason" in rows.column_names else {}
    return Part(
        name=layout.part(sha256), rows=rows.num_rows, bytes=len(content), sha256=sha256, rejected=dict(rejected)
    )


def read(folder: str, part: Part, columns: list[str] | None = None) -> pa.Table:
    """The rows of a part that a manifest lists.

    Raises:
        StoreError: it is gone or damaged; nothing of it is used.
    """
    path = files.join(folder, part.name)
    content = _content(path)
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise StoreError(
            f"{path} is damaged: its {len(content):,} bytes do not have the checksum that its manifest lists "
            f"({part.bytes:,} bytes were written). Remove the folder of this output and run again."
        )
    return pq.read_table(pa.BufferReader(content), columns=columns)


def read_unlisted(folder: str, table: str, name: str) -> tuple[Part, pa.Table]:
    """A part that a killed attempt left, checked against its own name.

    Raises:
        StoreError: it is damaged, or its rows are not those of `table`.
    """
    path = files.join(folder, table, name)
    content = _content(path)
    if name != layout.part(hashlib.sha256(content).hexdigest()):
        raise StoreError(
            f"{path} is damaged: its {len(content):,} bytes are not those that it is named after.{_REMOVE}"
        )
    try:
        rows = pq.read_table(pa.BufferReader(content))
        fitted = schemas.conform(rows, schema_of(table, rows.schema))
    except (pa.ArrowInvalid, KeyError, StoreError) as error:
        raise StoreError(f"{path} is no part of {table} ({error}).{_REMOVE}") from error
    return _part(fitted, content), fitted


_REMOVE = " Remove this file to go on: its rows are made again."


def _content(path: str) -> bytes:
    try:
        return files.read(path)
    except FileNotFoundError as error:
        raise StoreError(
            f"{path} is gone, though it is listed. Remove the folder of this output and run again."
        ) from error


def _is_enough(ahead: list[Part]) -> bool:
    rows, size = sum(part.rows for part in ahead), sum(part.bytes for part in ahead)
    return len(ahead) > READERS or size > _BYTES_AHEAD or rows > _ROWS_AHEAD


def read_all(folder: str, parts: Iterable[Part], columns: list[str] | None = None) -> Iterator[pa.Table]:
    """As `read`, of many parts in their order. Some are read ahead: a table may be thousands of small objects."""
    with ThreadPoolExecutor(READERS) as pool:
        ahead: deque[tuple[Part, Future[pa.Table]]] = deque()
        for part in parts:
            ahead.append((part, pool.submit(read, folder, part, columns)))
            while ahead and _is_enough([waiting for waiting, _ in ahead]):
                yield ahead.popleft()[1].result()
        while ahead:
            yield ahead.popleft()[1].result()
