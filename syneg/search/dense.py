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
import pyarrow.compute as pc

from syneg.ids import renumbered
from syneg.search.bounds import Products
from syneg.search.products import block_rows, products
from syneg.search.ranking import ranking_table
from syneg.search.threads import in_threads


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
    for block in in_blocks(passages, block_rows(queries_QD.shape[1])):
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
    used, place = renumbered(rows, len(ids))
    return Best(scores, place, ids.take(pa.array(used)))


def _first_by_id(scores_N: np.ndarray, rows_N: np.ndarray, ids: pa.Array, k: int) -> np.ndarray:
    names = ids.take(pa.array(np.maximum(rows_N, 0))).to_pylist()
    return np.array(sorted(range(len(names)), key=lambda place: (-scores_N[place], names[place]))[:k])


def _search_block(queries_QD: np.ndarray, block: pa.Table, k: int, least_Q: np.ndarray) -> Best:
    """The k best of `block` for each query; what scores below `least_Q` may be left out."""
    ids, vectors_PD = _by_id(block)
    scores = np.full((len(queries_QD), min(k, len(ids))), -np.inf, np.float32)
    rows = np.full(scores.shape, -1, np.int64)
    product = products(vectors_PD, len(queries_QD))
    step = max(1, min(product.queries, -(-len(queries_QD) // product.threads)))

    def look(start: int) -> None:
        own = slice(start, min(start + step, len(queries_QD)))
        query_N, row_N, most_N = product.reaching(queries_QD[own], k, least_Q[own])
        ends = np.searchsorted(query_N, np.arange(own.stop - start + 1))
        for query, begin, end in zip(range(start, own.stop), ends[:-1], ends[1:], strict=True):
            row_n, score_n = _scored(queries_QD[query], product, row_N[begin:end], most_N[begin:end], k)
            best = np.lexsort((row_n, -score_n))[:k]  # rows are in the order of ids
            scores[query, : len(best)], rows[query, : len(best)] = score_n[best], row_n[best]

    in_threads(look, range(0, len(queries_QD), step), product.threads)
    return Best(scores, rows, ids)


def _scored(
    query_D: np.ndarray, product: Products, row_N: np.ndarray, most_N: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and scores of the k best and of some more. What is at most as good as k others need not be scored."""
    if len(row_N) <= k:
        return row_N, of_pairs(product.vectors(row_N), query_D)
    order = np.argpartition(most_N, -k)
    likely, others = order[-k:], order[:-k]
    likely_K = of_pairs(product.vectors(row_N[likely]), query_D)
    others = others[most_N[others] >= likely_K.min()]
    others_N = of_pairs(product.vectors(row_N[others]), query_D)
    return row_N[np.concatenate([likely, others])], np.concatenate([likely_K, others_N])


def _by_id(block: pa.Table) -> tuple[pa.Array, np.ndarray]:
    """Ids in ascending order, and their vectors, float16 [P, D]."""
    column = block["id"].combine_chunks()
    ids = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    vectors_PD, order = matrix(block["vector"]), pc.call_function("sort_indices", [ids], pc.SortOptions())
    if not np.array_equal(order, np.arange(len(ids))):
        ids, vectors_PD = ids.take(order), vectors_PD[order]
    return ids, vectors_PD


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
