"""Exact dense search, block by block: memory is bounded by one block and k, whatever the corpus.

The vectors are L2-normalised, so that the inner product is the cosine. `search` looks at some of the passages, `merged`
joins what several searches found, and the outcome does not depend on who looked at which block. A matrix product, which
rounds with its shape and type, only says which pairs may be among the best; these few are scored one by one, and equal
ones stand in the order of ids. One pass against a bound finds them: selecting the k best of every row of the product,
as FAISS does, takes longer than the product itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from syneg.ids import order_of
from syneg.search.products import products
from syneg.search.ranking import ranking_table

# Passages multiplied at once. Parts of a table may hold a few hundred rows each, for which BLAS has no good shape.
_BLOCK_ROWS = 65_536


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
    best, least_Q = list[Best](), np.full(len(queries_QD), -np.inf, np.float32)
    for block in in_blocks(passages, _BLOCK_ROWS):
        best = [merged([*best, _search_block(queries_QD, block, k, least_Q)], k)]
        if best[0].scores.shape[1] == k:
            least_Q = best[0].scores.min(axis=1)
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


def _search_block(queries_QD: np.ndarray, block: pa.Table, k: int, least_Q: np.ndarray) -> Best:
    """The k best of `block` for each query; what scores below `least_Q` may be left out."""
    passages_PD, ids = matrix(block["vector"]).astype(np.float32), _ids(block)
    product, place_P = products(passages_PD, len(queries_QD)), order_of(ids)
    scores = np.full((len(queries_QD), min(k, len(ids))), -np.inf, np.float32)
    rows = np.full(scores.shape, -1, np.int64)
    step = max(1, product.cells // len(ids))
    for start in range(0, len(queries_QD), step):
        own = slice(start, start + step)
        query_N, row_N = product.reaching(queries_QD[own], k, least_Q[own])
        score_N = _scores(queries_QD[own], passages_PD, query_N, row_N)
        chosen, nth = _first_k(query_N, score_N, place_P[row_N], k)
        scores[own][query_N[chosen], nth] = score_N[chosen]
        rows[own][query_N[chosen], nth] = row_N[chosen]
    return Best(scores, rows, ids)


def _scores(queries_BD: np.ndarray, passages_PD: np.ndarray, query_N: np.ndarray, row_N: np.ndarray) -> np.ndarray:
    """Inner products float32 [N] of pairs that stand by query, each a sum of its own."""
    score_N = np.empty(len(query_N), np.float32)
    starts = np.searchsorted(query_N, np.arange(len(queries_BD) + 1))
    for query_D, start, end in zip(queries_BD, starts, starts[1:], strict=False):
        score_N[start:end] = of_pairs(passages_PD[row_N[start:end]], query_D)
    return score_N


def _first_k(query_N: np.ndarray, score_N: np.ndarray, place_N: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each query's rows the k of highest score, then lowest place; and the number of each within its query."""
    order = np.lexsort((place_N, -score_N, query_N))
    ordered = query_N[order]
    nth = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    return order[nth < k], nth[nth < k]


def of_pairs(left_ND: np.ndarray, right_ND: np.ndarray) -> np.ndarray:
    """Inner products float32 of pairs of vectors (the last axis), each a dot product of its own."""
    return np.vecdot(left_ND.astype(np.float32, copy=False), right_ND.astype(np.float32, copy=False))


def in_blocks(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in blocks of `rows`, the last one shorter."""
    waiting, count = list[pa.Table](), 0
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        while count >= rows:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, rows)
            waiting, count = [whole.slice(rows)], count - rows
    if count:
        yield pa.concat_tables(waiting)


def _ids(block: pa.Table) -> pa.Array:
    column = block["id"].combine_chunks()
    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
