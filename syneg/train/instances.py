"""Instances on a node's disk: written once from the store's blocks, then mapped into memory, never held there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syneg import schemas
from syneg.train.batches import Instance, KnownPositives, text_key

FILE = "instances.arrow"
_REJECTED = "rejected.npy"
_READ = ("query_id", "query", "positive_id", "positive", "positive_cross_score", "negatives")
_KEYS = ("query_key", "positive_key", "negative_keys")
_BATCH_ROWS = 1_024  # a row is read by slicing its record batch, which costs the same whatever the batch's size


@dataclass(frozen=True)
class Written:
    """What a file of instances holds."""

    rows: int
    sources: tuple[str, ...]  # of its negatives, in the order of names


def write(blocks: Iterable[pa.Table], folder: Path) -> Written:
    """Writes the accepted rows of `blocks` (`schemas.INSTANCES`) to `folder`. Memory is bounded by one block, and 16
    bytes a rejected row.

    The key of every text is written beside it: which passages answer which query is then a matter of integers. Of a
    rejected row these keys are all that stays: its positive, in another instance, still answers its query.
    """
    rows, sources, rejected = 0, set[str](), [_answers_of_rejected(schemas.INSTANCES.empty_table())]
    sink: pa.OSFile | None = None
    writer: pa.RecordBatchFileWriter | None = None
    for block in blocks:
        accepted = with_keys(block.filter(schemas.ACCEPTED)).combine_chunks()
        if writer is None:
            sink = pa.OSFile(str(folder / FILE), "wb")
            writer = pa.ipc.new_file(sink, accepted.schema)
        writer.write_table(accepted, max_chunksize=_BATCH_ROWS)
        rows += accepted.num_rows
        rejected.append(_answers_of_rejected(block))
        for chunk in accepted["negatives"].chunks:
            sources.update(chunk.flatten().field("source").unique().to_pylist())
    if writer is not None and sink is not None:
        writer.close()
        sink.close()
    np.save(folder / _REJECTED, np.concatenate(rejected))
    return Written(rows, tuple(sorted(sources)))


def with_keys(table: pa.Table) -> pa.Table:
    """The columns that training reads, and the keys of the texts of query, positive and negatives (`text_key`)."""
    negatives = table["negatives"].combine_chunks()
    texts = negatives.flatten().field("text") if table.num_rows else pa.array([], pa.string())
    offsets = np.concatenate([[0], np.cumsum(negatives.value_lengths().to_numpy(zero_copy_only=False))])
    keys = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), _keys(texts))
    columns = [*(table[name] for name in _READ), _keys(table["query"]), _keys(table["positive"]), keys]
    return pa.table(columns, names=[*_READ, *_KEYS])


def _answers_of_rejected(table: pa.Table) -> np.ndarray:
    """The keys of query and positive of the rejected rows whose positive has a text: int64 [N, 2]."""
    rejected = table.filter(~schemas.ACCEPTED)
    keys = np.column_stack([_keys(rejected[name]).to_numpy() for name in ("query", "positive")])
    return keys[keys[:, 1] != text_key("")]


def _keys(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    return pa.array([text_key(text) for text in texts.to_pylist()], pa.int64())


class Instances:
    """Random access to the rows of a table `with_keys`, which stays where it is: in a mapped file, or in memory.

    `rejected`: of pairs that no row is made of the keys of query and positive, int64 [N, 2].
    """

    def __init__(self, blocks: Sequence[pa.RecordBatch], rejected: np.ndarray) -> None:
        self._blocks, self._rejected = blocks, rejected
        self._ends = np.cumsum([block.num_rows for block in self._blocks], dtype=np.int64)
        counts = [block["negatives"].value_lengths().to_numpy() for block in self._blocks if block.num_rows]
        self.widest = 1 + max((int(negatives.max()) for negatives in counts), default=0)
        """The largest number of passages of one instance, the positive included."""

    @classmethod
    def open(cls, folder: Path) -> "Instances":
        """What `write` left in `folder`."""
        reader = pa.ipc.open_file(pa.memory_map(str(folder / FILE)))
        blocks = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        return cls(blocks, np.load(folder / _REJECTED))

    @classmethod
    def of(cls, table: pa.Table) -> "Instances":
        """Of the accepted rows of a table of `schemas.INSTANCES` in memory."""
        accepted = table.filter(schemas.ACCEPTED)
        return cls(with_keys(accepted).to_batches(), _answers_of_rejected(table))

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def rows(self, numbers: np.ndarray) -> list[Instance]:
        blocks = np.searchsorted(self._ends, numbers, side="right")
        return [self._row(int(block), int(number)) for block, number in zip(blocks, numbers, strict=True)]

    def _row(self, block: int, number: int) -> Instance:
        start = int(self._ends[block - 1]) if block else 0
        return self._blocks[block].slice(number - start, 1).to_pylist()[0]

    def known_positives(self) -> KnownPositives:
        """All pairs of a query and a positive, 16 bytes each, and of a query and the passage that has its id.

        Pairs whose row was rejected count too.
        """
        own, rejected = self._own_passages(), self._rejected.T
        queries = self._column("query_key", pa.int64()).to_numpy(), own["query"].to_numpy(), rejected[0]
        passages = self._column("positive_key", pa.int64()).to_numpy(), own["passage"].to_numpy(), rejected[1]
        return KnownPositives.of(np.concatenate(queries), np.concatenate(passages))

    def _own_passages(self) -> pa.Table:
        """Of queries that are passages themselves (ArguAna, Quora): the keys of both texts, which titles part."""
        queries = {"id": self._column("query_id", pa.string()), "query": self._column("query_key", pa.int64())}
        negatives = [block["negatives"].flatten().field("id") for block in self._blocks]
        of_negatives = [block["negative_keys"].flatten() for block in self._blocks]
        ids = pa.chunked_array([*self._column("positive_id", pa.string()).chunks, *negatives], pa.string())
        keys = pa.chunked_array([*self._column("positive_key", pa.int64()).chunks, *of_negatives], pa.int64())
        own = pa.table({"id": ids, "passage": keys}).filter(pc.field("id").isin(queries["id"].unique()))
        return _distinct(own).join(_distinct(pa.table(queries)), "id")

    def _column(self, name: str, kind: pa.DataType) -> pa.ChunkedArray:
        return pa.chunked_array([block[name] for block in self._blocks], kind)


def _distinct(table: pa.Table) -> pa.Table:
    return table.group_by(table.column_names).aggregate([])
