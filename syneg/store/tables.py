"""Tables as Parquet parts: written block by block by this process or by workers, read by either."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from syneg import schemas
from syneg.store import parts
from syneg.store.manifest import Part

if TYPE_CHECKING:
    from ray.data import Dataset

_PARTS = TypeAdapter(list[Part])
_BLOCK_BYTES = (2**20, 64 * 2**20)  # the smallest and the largest limit to what one task reads
_TASKS = 64  # that read a table between these limits


def write(rows: pa.Table | Iterable[pa.Table], folder: str, table: str) -> list[Part]:
    """Writes every row of `rows` under `folder`/`table` and returns the parts.

    Raises:
        StoreError: the rows do not fit the table's schema.
    """
    if isinstance(rows, pa.Table):
        return [parts.put(rows, folder, table)]
    written = [parts.put(block, folder, table) for block in rows if block.num_rows]
    return written or [parts.put(getattr(schemas, table.upper()).empty_table(), folder, table)]


@dataclass(frozen=True)
class RowWriter:
    """`Context.store_rows`, by the worker that made the rows, so that none are lost on their way to another."""

    folder: str

    def __call__(self, table: str, rows: pa.Table) -> pa.Table:
        """What `stored` reads: the table's name and the part."""
        return pa.table({"table": [table], "part": [parts.put(rows, self.folder, table).model_dump_json()]})


def stored(records: "Dataset", progress: Callable[[str], None]) -> Iterator[tuple[str, Part]]:
    """Each part that workers wrote, with its table."""
    count = 0
    for record in records.iter_rows():
        part = Part.model_validate_json(record["part"])
        count += part.rows
        progress(f"{count:,} rows")
        yield record["table"], part


@dataclass(frozen=True)
class StoredTable:
    """A finished table: the parts that its manifest lists, and no other file beside them.

    A part is read whole and its checksum verified before a row of it is used, so that a damaged one is named.
    """

    folder: str
    parts: tuple[Part, ...]

    def dataset(self) -> "Dataset":
        import ray.data

        folder = self.folder

        def read(batch: pa.Table) -> pa.Table:
            (listed,) = batch["parts"].to_pylist()
            return pa.concat_tables(parts.read_all(folder, _PARTS.validate_json(listed)))

        listed = [_PARTS.dump_json(group).decode() for group in _groups(self.parts)]
        named = ray.data.from_blocks([pa.table({"parts": [group]}) for group in listed])
        return named.map_batches(read, batch_format="pyarrow", batch_size=1)

    def blocks(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        for rows in parts.read_all(self.folder, self.parts, columns):
            for start in range(0, rows.num_rows, parts.BLOCK_ROWS):
                yield rows.slice(start, parts.BLOCK_ROWS)

    def split(self, count: int) -> list["StoredTable"]:
        shares = [self.parts[place::count] for place in range(min(count, len(self.parts)))]
        return [StoredTable(self.folder, share) for share in shares] or [self]

    def where(self, column: str, values: Sequence[str], columns: list[str] | None = None) -> pa.Table:
        wanted = pc.field(column).isin(pa.array(values, pa.string()))
        rows = pa.concat_tables([rows.filter(wanted) for rows in parts.read_all(self.folder, self.parts)])
        return rows.select(columns) if columns else rows

    def table(self, columns: list[str] | None = None) -> pa.Table:
        return pa.concat_tables(parts.read_all(self.folder, self.parts, columns))


def _groups(of: Sequence[Part]) -> list[list[Part]]:
    """What one task reads each: many small parts, or one large one; enough groups to keep a cluster busy."""
    least, most = _BLOCK_BYTES
    limit = min(max(least, sum(part.bytes for part in of) // _TASKS), most)
    groups: list[list[Part]] = []
    room = 0
    for part in of:
        if part.bytes > room:
            groups.append([])
            room = limit
        groups[-1].append(part)
        room -= part.bytes
    return groups
