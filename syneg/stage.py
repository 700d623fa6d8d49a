"""What a stage is: a value that the graph is made of, and the few types that cross its border.

A stage's function gets tables, folders and exactly those config sections that its fingerprint covers, so that nothing
it can read is left out of the fingerprint. It knows neither paths nor manifests; `execution.py` deals with those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from syneg.on_ray.workers import InProcess, Workers

if TYPE_CHECKING:  # `syneg plan` imports this module and must not wait for Ray
    import pyarrow as pa
    from ray.data import Dataset

    from syneg.keyset import KeySet
    from syneg.settings.resources import ResourcesConfig

Pool = Literal["generate", "encode", "mine", "mix", "train"]
"""A section of `resources` that says what a worker asks for, and how many there may be."""


@dataclass(frozen=True)
class Stage:
    """One node of the graph.

    `reads` gives each input the name that the function knows it by: {"passages": "corpus.passages"}. `writes` are
    tables, `folders` whole directories (a model).
    `function` is "module:name", imported only when the stage runs. `sections` are handed to it as keyword arguments.
    `version` is raised whenever the same inputs and settings come to give other rows.
    `pool` is where its workers are taken from, `one_worker` that it takes one of them, however many there may be.
    Without a pool it runs in the driver, or on tasks that ask for no more than a free CPU.
    """

    name: str
    function: str
    version: int
    reads: Mapping[str, str] = field(default_factory=dict)
    writes: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    resumes_by_row: bool = False
    on_ray: bool = True
    pool: Pool | None = None
    one_worker: bool = False

    @property
    def sources(self) -> frozenset[str]:
        """The stages that it reads."""
        return frozenset(address.partition(".")[0] for address in self.reads.values())


class Source(Protocol):
    """One input table, in the ways of reading it."""

    def dataset(self) -> Dataset:
        """Over the cluster."""
        ...

    def blocks(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Block by block in this process; memory is bounded by one block."""
        ...

    def split(self, count: int) -> Sequence[Source]:
        """At most `count` sources with these rows between them, at least one, each for another worker to read."""
        ...

    def where(self, column: str, values: Sequence[str], columns: list[str] | None = None) -> pa.Table:
        """The rows whose `column` is one of `values`; memory is bounded by the answer."""
        ...

    def table(self, columns: list[str] | None = None) -> pa.Table:
        """Whole, by those who know that it is small."""
        ...


class Earlier(Protocol):
    """Rows of a table that other outputs of the same stage hold already, by what they were made from."""

    @property
    def keys(self) -> KeySet: ...

    def rows(self, wanted: KeySet) -> Iterator[pa.Table]:
        """One row for each of `wanted` that is in here."""
        ...


@dataclass(frozen=True)
class NoRows:
    """The source of a table that no stage of the run makes."""

    schema: pa.Schema

    def dataset(self) -> Dataset:
        import ray.data

        return ray.data.from_blocks([self.table()])

    def blocks(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        yield self.table(columns)

    def split(self, count: int) -> Sequence[Source]:
        return [self]

    def where(self, column: str, values: Sequence[str], columns: list[str] | None = None) -> pa.Table:
        return self.table(columns)

    def table(self, columns: list[str] | None = None) -> pa.Table:
        empty = self.schema.empty_table()
        return empty.select(columns) if columns else empty


@dataclass(frozen=True)
class Recovered:
    """The rows of one table that a killed attempt of this very output stored: they are not made again."""

    keys: KeySet
    rows: Source


@dataclass(frozen=True)
class Inputs:
    """The tables and folders that a stage reads, by the names that `Stage.reads` gives them."""

    tables: Mapping[str, Source]
    folders: Mapping[str, str] = field(default_factory=dict)  # addresses, for `store.models` and `store.folders`

    def source(self, name: str, schema: pa.Schema) -> Source:
        """The table `name`; without a row where the graph has no stage that makes it."""
        return self.tables.get(name) or NoRows(schema)


def _silent(message: str) -> None:
    """The progress of a stage that nobody watches."""


def _no_facts() -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Stake:
    """How much expensive work a worker may hold unsaved: what a crash costs."""

    rows: int = 256
    seconds: float = 60.0

    def at(self, rows_per_second: float) -> int:
        """The rows that a worker of this speed may be at, at least one."""
        return max(1, min(self.rows, int(self.seconds * rows_per_second)))


@dataclass(frozen=True)
class Context:
    """What surrounds a stage. Nothing in here may change a row."""

    resources: ResourcesConfig
    scratch: Path  # an empty folder on this node, removed after the stage
    title: str = ""  # what a tracker calls the work: RUN/STAGE-FINGERPRINT
    attempt: str = ""  # a folder in the store for `store.folders`, shared by all attempts, removed after the stage
    progress: Callable[[str], None] = _silent  # shows one short line, e.g. "128/256 rows"
    recovered: Mapping[str, Recovered] = field(default_factory=dict)  # by table, what a killed attempt stored
    earlier: Callable[[str, Mapping[str, Any]], Earlier] | None = None  # of a table, from outputs that have these facts
    # Stores rows of a table from any worker, and gives what belongs into `Output.stored`.
    store_rows: Callable[[str, pa.Table], pa.Table] | None = None
    stake: Stake = Stake()
    workers: Workers = field(default_factory=InProcess)  # Ray's, of the stage's pool, where it has one

    def done(self, table: str) -> KeySet:
        """The keys of the rows of `table` that a killed attempt stored: they are not made again."""
        from syneg.keyset import KeySet

        return self.recovered[table].keys if table in self.recovered else KeySet()

    def stored(self, table: str, schema: pa.Schema) -> Source:
        """Those rows."""
        return self.recovered[table].rows if table in self.recovered else NoRows(schema)


@dataclass(frozen=True)
class Output:
    """What a stage gives back.

    A table is an Arrow table where it is small, else an iterable of blocks (computed while they are written).
    `stored` has what `Context.store_rows` gave for each piece of a table that workers stored; others may be in
    `tables`.
    `rows_out` and `rejected` are counted from the tables as they are written (a non-null `reject_reason` is a
    rejected row); a stage whose ledger is not the rows of its tables states them here.
    `rows_in` may be a function where it is known only after everything was written.
    `facts` is called after everything was written: JSON values for the manifest and the report.
    """

    rows_in: int | Callable[[], int]
    tables: Mapping[str, pa.Table | Iterable[pa.Table]] = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)
    stored: Dataset | None = None
    rows_out: int | None = None
    rejected: Mapping[str, int] = field(default_factory=dict)
    facts: Callable[[], Mapping[str, Any]] = _no_facts
