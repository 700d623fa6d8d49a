"""An input table held in memory, so that a stage runs in a test without a store."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import ray

from syneg import schemas
from syneg.keyset import KeySet
from syneg.stage import Output, Recovered

if TYPE_CHECKING:
    from ray.data import Dataset


@dataclass(frozen=True)
class MemoryTable:
    rows: pa.Table
    block_rows: int = 100

    def table(self, columns: list[str] | None = None) -> pa.Table:
        return self.rows.select(columns) if columns else self.rows

    def blocks(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        for start in range(0, self.rows.num_rows, self.block_rows):
            yield self.table(columns).slice(start, self.block_rows)

    def split(self, count: int) -> "list[MemoryTable]":
        edges = [self.rows.num_rows * place // count for place in range(count + 1)]
        return [MemoryTable(self.rows.slice(start, end - start), self.block_rows) for start, end in pairwise(edges)]

    def where(self, column: str, values: Sequence[str], columns: list[str] | None = None) -> pa.Table:
        chosen = self.rows.filter(pc.field(column).isin(pa.array(values, pa.string())))
        return chosen.select(columns) if columns else chosen

    def dataset(self) -> "Dataset":
        import ray.data

        return ray.data.from_arrow(self.rows)


def recovered(table: str, rows: pa.Table) -> dict[str, Recovered]:
    """`Context.recovered` where a killed attempt stored these rows of one table."""
    (key,) = schemas.KEYS[table]
    return {table: Recovered(KeySet.of(rows[key].to_pylist()), MemoryTable(rows))}


def rows_of(output: Output, table: str) -> pa.Table:
    """One table that a stage gave back, in whichever form, whole."""
    made = output.tables[table]
    if isinstance(made, pa.Table):
        return made
    if isinstance(made, Iterable) and not hasattr(made, "map_batches"):
        return pa.concat_tables(made)
    blocks: list[pa.Table] = ray.get(cast(Any, made).to_arrow_refs())
    return pa.concat_tables(blocks)
