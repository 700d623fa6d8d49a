"""Passages whose vectors stay as they are: mapped into memory from one file, searched whole at every step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from syneg.ids import in_one, order_of, rows_of
from syneg.passages import COLUMNS, bodies_of
from syneg.search import dense
from syneg.stage import Source
from syneg.train.batches import text_key
from syneg.vectors import pack, unpack

_BLOCK_ROWS = 65_536  # passages that a search holds as float32
_FILE = "passages.f16"


@dataclass(frozen=True)
class FrozenPassages:
    """P passages in the order of their ids, so that a row number means the same however the tables were cut."""

    ids: pa.Array  # string [P], sorted
    vectors_PD: np.ndarray  # float16, of a file that is mapped for reading only
    keys: np.ndarray  # int64 [P], equal for equal normalised texts

    @classmethod
    def read(cls, passages: Source, vectors: Source, folder: Path) -> "FrozenPassages":
        """Writes the vectors to `folder`. Memory is bounded by one block, ids and keys; the pages of the file are the
        system's to keep or to drop."""
        found, keys = list[pa.ChunkedArray](), list[int]()
        for block in passages.blocks(COLUMNS):
            found.append(block["passage_id"])
            keys += map(text_key, bodies_of(block))
        ids = in_one(found)
        order = np.argsort(order_of(ids))
        return cls(ids.take(pa.array(order)), _placed(vectors, folder / _FILE), np.array(keys, np.int64)[order])

    def nearest(self, queries_QD: np.ndarray, k: int) -> np.ndarray:
        """Rows int64 [Q, min(k, P)] of the passages of highest product, best first, equal ones in the order of ids."""
        best = dense.search(queries_QD, self._blocks(), min(k, len(self.vectors_PD)))
        rows = best.ids.to_numpy()[best.rows]
        return np.take_along_axis(rows, np.lexsort((rows, -best.scores), axis=1), axis=1)

    def same_texts(self, passage_ids: pa.Array) -> list[np.ndarray]:
        """For each of N ids the rows of all passages with its normalised text, its own first."""
        own = rows_of(passage_ids, self.ids)
        same = self._by_key(self.keys[own])
        return [np.array([row, *(set(rows) - {row})], np.int64) for row, rows in zip(own, same, strict=True)]

    def of_queries(self, query_ids: pa.ChunkedArray, texts: Sequence[str]) -> list[np.ndarray]:
        """For each query the rows of the passages that have its id or its text: a query may be a passage itself."""
        same = self._by_key(np.array([text_key(text) for text in texts], np.int64))
        found = zip(rows_of(query_ids, self.ids).tolist(), same, strict=True)
        return [np.array(rows if own < 0 else [*rows, own], np.int64) for own, rows in found]

    def _by_key(self, keys: np.ndarray) -> list[list[int]]:
        """For each of `keys` the rows of all passages with it."""
        rows_of_key: dict[int, list[int]] = {}
        for row in np.flatnonzero(np.isin(self.keys, keys)).tolist():
            rows_of_key.setdefault(int(self.keys[row]), []).append(row)
        return [rows_of_key.get(key, []) for key in keys.tolist()]

    def _blocks(self) -> Iterator[pa.Table]:
        """Row numbers as ids, and vectors; nothing is copied."""
        for start in range(0, len(self.vectors_PD), _BLOCK_ROWS):
            block_PD = self.vectors_PD[start : start + _BLOCK_ROWS]
            yield pa.table({"id": pa.array(np.arange(start, start + len(block_PD))), "vector": pack(block_PD)})


def _placed(vectors: Source, path: Path) -> np.ndarray:
    """The vectors float16 [P, D] in the order of their ids, in a file that is open for reading."""
    row_of = order_of(in_one(block["id"] for block in vectors.blocks(["id"])))
    placed_PD, start = np.empty((0, 1), np.float16), 0
    for block in vectors.blocks():
        block_PD = unpack(block["vector"])
        if not start:
            placed_PD = np.memmap(path, np.float16, "w+", shape=(len(row_of), block_PD.shape[1]))
        placed_PD[row_of[start : start + len(block_PD)]] = block_PD
        start += len(block_PD)
    if isinstance(placed_PD, np.memmap):
        placed_PD.flush()
        return np.memmap(path, np.float16, "r", shape=placed_PD.shape)
    return placed_PD
