"""Which texts are encoded, and which need not be because another output has their vectors."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from ray.data import Dataset

from syneg.encoder.recipe import Kind
from syneg.keyset import KeySet, digests
from syneg.passages import COLUMNS, texts_of
from syneg.stage import Context, Earlier, Inputs, Source

KINDS: tuple[Kind, ...] = ("passage", "query")
_TABLES = {"passage": "passages", "query": "queries"}
_COLUMNS = {"passage": COLUMNS, "query": ["query_id", "text"]}


@dataclass(frozen=True)
class Texts:
    """The passages or the queries of a run."""

    kind: Kind
    table: str  # of their vectors
    source: Source
    done: KeySet  # ids whose vectors this output holds
    earlier: Earlier | None  # other outputs of the same encoder

    @classmethod
    def of(cls, kind: Kind, inputs: Inputs, context: Context, made_by: Mapping[str, str]) -> "Texts":
        """`made_by`: what the facts of other outputs must say for their vectors to be those of this one."""
        table = f"{kind}_vectors"
        earlier = context.earlier and context.earlier(table, made_by)
        return cls(kind, table, inputs.tables[_TABLES[kind]], context.done(table), earlier)

    def count(self) -> int:
        return sum(block.num_rows for block in self.source.blocks(_COLUMNS[self.kind][:1]))

    @cached_property
    def taken(self) -> KeySet:
        """The `contents` of what is not done and is in another output. One pass, a block at a time."""
        if not self.earlier or not len(self.earlier.keys):
            return KeySet()
        blocks = (_named(block, self.kind, self.done) for block in self.source.blocks(_COLUMNS[self.kind]))
        found = [digests(contents(rows["id"], rows["text"]).to_pylist()) for rows in blocks]
        return KeySet(np.concatenate([digests(()), *found])) & self.earlier.keys

    def rows_taken(self) -> Iterator[pa.Table]:
        """The vectors of `taken`."""
        return self.earlier.rows(self.taken) if self.earlier else iter(())

    def dataset(self) -> Dataset:
        """Columns table, id and text of what is still to be encoded."""
        kind, done, taken = self.kind, self.done, self.taken

        def named(batch: pa.Table) -> pa.Table:
            rows = _named(batch, kind, done)
            if len(taken):
                rows = rows.filter(pa.array(~taken.mask(contents(rows["id"], rows["text"]))))
            return rows

        return self.source.dataset().map_batches(named, batch_size=None, batch_format="pyarrow")


def _named(batch: pa.Table, kind: Kind, done: KeySet) -> pa.Table:
    """Columns table, id and text, as they are encoded."""
    rows = batch.filter(pa.array(~done.mask(batch[f"{kind}_id"])))
    texts = texts_of(rows) if kind == "passage" else rows["text"].to_pylist()
    names = pa.repeat(pa.scalar(f"{kind}_vectors"), rows.num_rows)
    return pa.table({"table": names, "id": rows[f"{kind}_id"], "text": pa.array(texts, pa.string())})


def contents(ids: pa.ChunkedArray, texts: pa.ChunkedArray) -> pa.Array:
    """A hash of each id with its text: the row whose vector is in any output of the same encoder."""
    pairs: Iterable[tuple[str, str]] = zip(ids.to_pylist(), texts.to_pylist(), strict=True)
    return pa.array([_hashed(f"{name}\0{text}") for name, text in pairs], pa.string())


def _hashed(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
