"""Tables as Parquet parts. A part is written by one atomic put under a name that no other attempt uses."""

import hashlib
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from syneg import schemas
from syneg.errors import StoreError
from syneg.store import files
from syneg.store.manifest import Part

if TYPE_CHECKING:
    from ray.data import Dataset

_BLOCK_ROWS = 65_536


def schema_of(table: str, seen: pa.Schema) -> pa.Schema:
    """The declared schema of `table`; that of embeddings takes its dimensions from what is `seen`."""
    if table.endswith("_vectors"):
        return schemas.vectors(seen.field("vector").type.byte_width // 2)
    return getattr(schemas, table.upper())


def write(
    rows: "pa.Table | Iterable[pa.Table] | Dataset", folder: str, table: str, progress: Callable[[str], None]
) -> list[Part]:
    """Writes every row of `rows` under `folder`/`table` and returns the parts.

    Raises:
        StoreError: the rows do not fit the table's schema.
    """
    if isinstance(rows, pa.Table):
        return [_put_part(rows, folder, table)]
    if hasattr(rows, "map_batches"):
        return _write_dataset(cast("Dataset", rows), folder, table, progress)
    blocks = cast(Iterable[pa.Table], rows)
    parts = [_put_part(block, folder, table) for block in blocks if block.num_rows]
    return parts or [_put_part(getattr(schemas, table.upper()).empty_table(), folder, table)]


def write_together(rows: "Dataset", folder: str, progress: Callable[[str], None]) -> Iterator[tuple[str, Part]]:
    """Writes the rows of several tables, which a column `table` tells apart. Gives each part with its table."""

    def put(block: pa.Table) -> dict[str, list[str]]:
        records: dict[str, list[str]] = {"table": [], "part": []}
        # Ray Data hands a user's function blocks without columns where a filter left nothing.
        for table in block["table"].unique().to_pylist() if block.num_rows else ():
            own = block.filter(pc.field("table") == table).drop_columns("table")
            records["table"].append(table)
            records["part"].append(_put_part(own, folder, table).model_dump_json())
        return records

    count = 0
    for record in rows.map_batches(put, batch_size=None, batch_format="pyarrow", zero_copy_batch=True).iter_rows():
        part = Part.model_validate_json(record["part"])
        count += part.rows
        progress(f"{count:,} rows")
        yield record["table"], part


def _write_dataset(rows: "Dataset", folder: str, table: str, progress: Callable[[str], None]) -> list[Part]:
    def named(block: pa.Table) -> pa.Table:
        return block.append_column("table", pa.repeat(pa.scalar(table), block.num_rows))

    labelled = rows.map_batches(named, batch_size=None, batch_format="pyarrow", zero_copy_batch=True)
    return [part for _, part in write_together(labelled, folder, progress)]


def _put_part(rows: pa.Table, folder: str, table: str) -> Part:
    fitted = schemas.conform(rows, schema_of(table, rows.schema))
    sink = pa.BufferOutputStream()
    pq.write_table(fitted, sink, compression="zstd", row_group_size=_BLOCK_ROWS)
    content = sink.getvalue().to_pybytes()
    name = f"part-{uuid.uuid4().hex}.parquet"
    files.put(files.join(folder, table, name), content)
    return _part(name, fitted, content)


def _part(name: str, rows: pa.Table, content: bytes) -> Part:
    sha256 = hashlib.sha256(content).hexdigest()
    return Part(name=name, rows=rows.num_rows, bytes=len(content), sha256=sha256, rejected=_rejected(rows))


def _rejected(rows: pa.Table) -> dict[str, int]:
    if "reject_reason" not in rows.column_names:
        return {}
    return dict(Counter(rows["reject_reason"].drop_null().to_pylist()))


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
            parts = [Part.model_validate_json(part) for part in batch["part"].to_pylist()]
            return pa.concat_tables([_read_part(folder, part) for part in parts])

        records = pa.table({"part": [part.model_dump_json() for part in self.parts]})
        named = ray.data.from_arrow(records).repartition(target_num_rows_per_block=1)
        return named.map_batches(read, batch_format="pyarrow", batch_size=1)

    def blocks(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        for part in self.parts:
            rows = _read_part(self.folder, part, columns)
            for start in range(0, rows.num_rows, _BLOCK_ROWS):
                yield rows.slice(start, _BLOCK_ROWS)

    def split(self, count: int) -> list["StoredTable"]:
        shares = [self.parts[place::count] for place in range(min(count, len(self.parts)))]
        return [StoredTable(self.folder, share) for share in shares] or [self]

    def where(self, column: str, values: Sequence[str], columns: list[str] | None = None) -> pa.Table:
        wanted = pc.field(column).isin(pa.array(values, pa.string()))
        chosen = [_read_part(self.folder, part).filter(wanted) for part in self.parts]
        rows = pa.concat_tables(chosen)
        return rows.select(columns) if columns else rows

    def table(self, columns: list[str] | None = None) -> pa.Table:
        return pa.concat_tables([_read_part(self.folder, part, columns) for part in self.parts])


def _read_part(folder: str, part: Part, columns: list[str] | None = None) -> pa.Table:
    path = files.join(folder, part.name)
    content = files.read(path)
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise StoreError(
            f"{path} is damaged: its {len(content):,} bytes do not have the checksum that its manifest lists "
            f"({part.bytes:,} bytes were written). Remove the folder of this output and run again."
        )
    return pq.read_table(pa.BufferReader(content), columns=columns)


def recover(folder: str, table: str) -> tuple[list[Part], frozenset[str]]:
    """The parts that a killed attempt left, and the keys of their rows. No key is in two of the parts returned.

    A task that was retried may have put the same rows twice; the later part is then written anew without them.
    """
    (key,) = schemas.KEYS[table]
    parts: list[Part] = []
    seen: set[str] = set()
    for name, _ in files.files_below(files.join(folder, table)):
        content = files.read(files.join(folder, table, name))
        try:
            rows = pq.read_table(pa.BufferReader(content))
        except pa.ArrowInvalid as error:
            raise StoreError(f"{folder}/{table}/{name} is damaged ({error}). Remove this file to go on.") from error
        fresh = [value not in seen for value in rows[key].to_pylist()]
        if all(fresh):
            parts.append(_part(name, rows, content))
        elif any(fresh):
            parts.append(_put_part(rows.filter(pa.array(fresh)), folder, table))
        seen.update(rows[key].to_pylist())
    return parts, frozenset(seen)
