"""Exact dense search, block by block: memory is bounded by one block and k, whatever the corpus.

The vectors are L2-normalised, so that the inner product is the cosine. `search` looks at some of the passages, `merged`
joins what several searches found, and the outcome does not depend on who looked at which block: scores are computed
pair by pair, since a matrix product rounds differently with its shape, and equal ones stand in the order of ids.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import faiss
import numpy as np
import pyarrow as pa

from syneg.search.ranking import ranking_table

# Passages multiplied at once. Parts of a table may hold a few hundred rows each, for which BLAS has no good shape.
_BLOCK_ROWS = 65_536
# What one block is asked for beyond k, so that ties at rank k are seen as such (`_could_miss`).
_SLACK = 16
# FAISS multiplies tiles of queries by passages before it picks from them: 64 MB of scores. Its own default of 1,024
# passages a tile was measured at 0.67 of this one's speed (Q = 2,000, D = 384, k = 116).
_TILE = {"distance_compute_blas_query_bs": 1_024, "distance_compute_blas_database_bs": 16_384}
_PAIRS = 4_096  # scored at once: their vectors stay in the cache


def matrix(vectors: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """A column of embeddings as float16 [N, D], without a copy where it is one chunk."""
    array = vectors.combine_chunks() if isinstance(vectors, pa.ChunkedArray) else vectors
    width = array.type.byte_width // 2
    flat = np.frombuffer(array.buffers()[1] or b"", dtype=np.float16)
    return flat[array.offset * width : (array.offset + len(array)) * width].reshape(len(array), width)


@dataclass(frozen=True)
class Best:
    """The best passages found so far for each of Q queries, at most K a query, in no order."""

    scores: np.ndarray  # float32 [Q, K]; -inf where there are fewer
    rows: np.ndarray  # int64 [Q, K]: places in `ids`; -1 where there are fewer
    ids: pa.Array  # of any type that sorts

    @classmethod
    def none(cls, queries: int) -> "Best":
        empty = np.empty((queries, 0))
        return cls(empty.astype(np.float32), empty.astype(np.int64), pa.array([], pa.string()))

    def ranking(self, query_ids: pa.ChunkedArray | pa.Array, k: int) -> pa.Table:
        """`schemas.RANKING`, in the queries' order."""
        return ranking_table(query_ids, self.ids, self.rows, self.scores, k)


def top_k(queries: pa.Table, passages: Iterable[pa.Table], k: int) -> pa.Table:
    """The k passages of highest inner product for each query, by brute force.

    Args:
        queries: columns id, vector (Q rows).
        passages: blocks of the same columns (P rows altogether); read once.
        k: at least 1.

    Returns:
        `schemas.RANKING` with min(k, P) rows a query, in the queries' order; equal scores stand in the order of ids,
        so that the blocks' layout does not matter.
    """
    return search(matrix(queries["vector"]), passages, k).ranking(queries["id"], k)


def search(queries_QD: np.ndarray, passages: Iterable[pa.Table], k: int) -> Best:
    """The k best of `passages` (blocks of id, vector) for each query."""
    queries_QD = queries_QD.astype(np.float32)
    best: list[Best] = []
    for block in in_blocks(passages, _BLOCK_ROWS):
        best = [merged([*best, _search_block(queries_QD, block, k)], k)]
    return best[0] if best else Best.none(len(queries_QD))


def merged(found: Sequence[Best], k: int) -> Best:
    """The k best of all that was found for the same queries, ties broken by id."""
    starts = np.cumsum([0, *(len(best.ids) for best in found)])
    ids = pa.concat_arrays([best.ids for best in found])
    scores = np.hstack([best.scores for best in found])
    rows = np.hstack(
        [np.where(best.rows < 0, -1, best.rows + start) for best, start in zip(found, starts, strict=False)]
    )
    if scores.shape[1] > k:
        chosen = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        kept = np.take_along_axis(scores, chosen, axis=1)
        last = kept.min(axis=1, keepdims=True)
        # Where more reach rank k than there is room for, their ids decide.
        for query in np.flatnonzero((scores >= last).sum(axis=1) > k):
            chosen[query] = _first_by_id(scores[query], rows[query], ids, k)
        scores, rows = np.take_along_axis(scores, chosen, axis=1), np.take_along_axis(rows, chosen, axis=1)
        rows = np.where(np.isneginf(scores), -1, rows)
    used, place = np.unique(rows, return_inverse=True)
    absent = int(used.size > 0 and used[0] < 0)
    return Best(scores, place.reshape(rows.shape) - absent, ids.take(pa.array(used[absent:])))


def _first_by_id(scores_N: np.ndarray, rows_N: np.ndarray, ids: pa.Array, k: int) -> np.ndarray:
    names = ids.take(pa.array(np.maximum(rows_N, 0))).to_pylist()
    return np.array(sorted(range(len(names)), key=lambda place: (-scores_N[place], names[place]))[:k])


def _search_block(queries_QD: np.ndarray, block: pa.Table, k: int) -> Best:
    passages_PD = matrix(block["vector"]).astype(np.float32)
    asked = min(k + _SLACK, len(passages_PD))
    products, rows = _nearest(queries_QD, passages_PD, asked)
    rows = rows.astype(np.int64)
    scores = _scores(queries_QD, passages_PD, rows)
    for query in _could_miss(products, scores, k, queries_QD, passages_PD) if asked < len(passages_PD) else ():
        own = of_pairs(passages_PD, queries_QD[query])
        order = _first_by_id(own, np.arange(len(own)), _ids(block), asked)
        rows[query], scores[query] = order, own[order]
    return Best(scores, rows, _ids(block))


def _could_miss(
    products: np.ndarray, scores: np.ndarray, k: int, queries_QD: np.ndarray, passages_PD: np.ndarray
) -> np.ndarray:
    """Queries for which a passage that was not returned might score as much as the k-th.

    What was not returned has no higher product than the last that was; a product differs from the pair's own score by
    at most D units of rounding of the norms (Higham 2002, 3.1).
    """
    norms = np.linalg.norm(queries_QD, axis=1) * np.sqrt(np.einsum("pd,pd->p", passages_PD, passages_PD).max())
    rounding = queries_QD.shape[1] * 2.0**-24 * norms
    kth = -np.partition(-scores, k - 1, axis=1)[:, k - 1]
    return np.flatnonzero(products.min(axis=1) + 2 * rounding >= kth)


def _scores(queries_QD: np.ndarray, passages_PD: np.ndarray, rows_QK: np.ndarray) -> np.ndarray:
    """Inner products float32 [Q, K], each a sum of its own."""
    scores_QK = np.empty(rows_QK.shape, np.float32)
    step = max(1, _PAIRS // rows_QK.shape[1])
    for start in range(0, len(rows_QK), step):
        own = slice(start, start + step)
        scores_QK[own] = of_pairs(passages_PD[rows_QK[own]], queries_QD[own, None])
    return scores_QK


def of_pairs(left_ND: np.ndarray, right_ND: np.ndarray) -> np.ndarray:
    """Inner products float32 of pairs of vectors (the last axis), each a dot product of its own."""
    return np.vecdot(left_ND.astype(np.float32, copy=False), right_ND.astype(np.float32, copy=False))


def _nearest(queries_QD: np.ndarray, passages_PD: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Products [Q, k] and rows [Q, k]; on a GPU where FAISS sees one."""
    if gpu := _gpu():
        return faiss.knn_gpu(gpu, queries_QD, passages_PD, k, metric=faiss.METRIC_INNER_PRODUCT)  # type: ignore[attr-defined]
    for name, size in _TILE.items():
        setattr(faiss.cvar, name, size)
    return faiss.knn(queries_QD, passages_PD, k, metric=faiss.METRIC_INNER_PRODUCT)


@cache
def _gpu() -> Any:
    sees_one = hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0
    return faiss.StandardGpuResources() if sees_one else None  # type: ignore[attr-defined]


def in_blocks(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in blocks of `rows`, the last one shorter."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        while (count := sum(part.num_rows for part in waiting)) >= rows:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, rows)
            waiting = [whole.slice(rows)] if count > rows else []
    if any(part.num_rows for part in waiting):
        yield pa.concat_tables(waiting)


def _ids(block: pa.Table) -> pa.Array:
    column = block["id"].combine_chunks()
    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
