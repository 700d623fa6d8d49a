"""Exact dense search, block by block: memory is bounded by one block and k, whatever the corpus.

The vectors are L2-normalised, so that the inner product is the cosine. `search` looks at some of the passages, `merged`
joins what several searches found, and the outcome does not depend on who looked at which block. A matrix product, which
rounds with its shape and type, only says which pairs may be among the best; these few are scored one by one, and equal
ones are in the order of ids. One pass against a bound finds them: selecting the k best of every row of the product,
as FAISS does, takes longer than the product itself.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syneg.ids import in_one, order_of, renumbered
from syneg.search.bounds import Pairs, Products
from syneg.search.products import block_rows, products
from syneg.search.ranking import ranking_table
from syneg.search.threads import in_threads
from syneg.vectors import unpack

_PAIRS = 8_192  # that are scored at once


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
        `schemas.RANKING` with min(k, P) rows a query, in the queries' order; equal scores are in the order of ids,
        so that the blocks' layout does not matter.
    """
    return search(unpack(queries["vector"]), passages, k).ranking(queries["id"], k)


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
    ids = in_one(best.ids for best in found)
    scores = np.hstack([best.scores for best in found])
    rows = np.hstack(
        [np.where(best.rows < 0, -1, best.rows + start) for best, start in zip(found, starts, strict=False)]
    )
    if scores.shape[1] > k:
        chosen = _chosen(scores, k, lambda query: order_of(ids.take(pa.array(np.maximum(rows[query], 0)))))
        scores, rows = np.take_along_axis(scores, chosen, axis=1), np.take_along_axis(rows, chosen, axis=1)
        rows = np.where(np.isneginf(scores), -1, rows)
    used, place = renumbered(rows, len(ids))
    return Best(scores, place, ids.take(pa.array(used)))


def _chosen(scores_QN: np.ndarray, k: int, order: Callable[[int], np.ndarray]) -> np.ndarray:
    """Places of the k best of each query, or of all N, in no order: int64 [Q, K].

    Where more reach rank k than there is room for, the `order` [N] of a query's ids decides.
    """
    if scores_QN.shape[1] <= k:
        return np.broadcast_to(np.arange(scores_QN.shape[1]), scores_QN.shape)
    chosen = np.argpartition(scores_QN, -k, axis=1)[:, -k:]
    last_Q = np.take_along_axis(scores_QN, chosen, axis=1).min(axis=1)
    more_Q = np.count_nonzero(scores_QN >= last_Q[:, None], axis=1) > k
    for query in np.flatnonzero(more_Q & ~np.isneginf(last_Q)):
        chosen[query] = np.lexsort((order(query), -scores_QN[query]))[:k]
    return chosen


def _search_block(queries_QD: np.ndarray, block: pa.Table, k: int, least_Q: np.ndarray) -> Best:
    """The k best of `block` for each query; what scores below `least_Q` may be left out."""
    ids, vectors_PD = _by_id(block)
    scores = np.full((len(queries_QD), min(k, len(ids))), -np.inf, np.float32)
    rows = np.full(scores.shape, -1, np.int64)
    product = products(vectors_PD, len(queries_QD))

    def look(query_B: np.ndarray) -> None:
        for sure in (False, True):
            pairs = product.reaching(queries_QD[query_B], k, least_Q[query_B], sure)
            for query_b, score_bK, row_bK in _best(queries_QD[query_B], product, pairs, k):
                places = query_B[query_b, None], np.arange(score_bK.shape[1])
                scores[places], rows[places] = score_bK, row_bK
            too_high = np.isneginf(least_Q[query_B]) & (scores[query_B].min(axis=1) < pairs.floor_B)
            query_B = query_B[too_high]
            if not len(query_B):
                return

    slices = product.threads * -(-len(queries_QD) // (product.threads * product.queries))
    in_threads(look, [own for own in np.array_split(np.arange(len(queries_QD)), slices) if len(own)], product.threads)
    return Best(scores, rows, ids)


def _best(
    queries_BD: np.ndarray, product: Products, pairs: Pairs, k: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The k best of the pairs, or all, of some queries at a time: which, and their scores and rows [b, K], in no order.

    Many pairs are scored at once: a thread waits for others at each operation.
    """
    start_B, end_B = (np.searchsorted(pairs.query_N, np.arange(len(queries_BD)), side) for side in ("left", "right"))
    fewest_first_B = np.argsort(end_B - start_B)
    at_once = max(1, _PAIRS // max(1, (end_B - start_B).max()))
    for first in range(0, len(queries_BD), at_once):
        query_b = fewest_first_B[first : first + at_once]
        place_bM = start_B[query_b, None] + np.arange((end_B - start_B)[query_b].max())
        beyond_bM = place_bM >= end_B[query_b, None]  # of a query that has fewer pairs than others
        row_bM = pairs.passage_N[np.where(beyond_bM, 0, place_bM)]
        vectors_bMD = product.vectors(row_bM.ravel()).reshape(*row_bM.shape, queries_BD.shape[1])
        score_bM = of_pairs(vectors_bMD, queries_BD[query_b, None])
        score_bM[beyond_bM], row_bM[beyond_bM] = -np.inf, -1
        chosen_bK = _chosen(score_bM, k, row_bM.__getitem__)  # rows are in the order of ids
        yield query_b, np.take_along_axis(score_bM, chosen_bK, axis=1), np.take_along_axis(row_bM, chosen_bK, axis=1)


def _by_id(block: pa.Table) -> tuple[pa.Array, np.ndarray]:
    """Ids in ascending order, and their vectors, float16 [P, D]."""
    ids, vectors_PD = in_one([block["id"]]), unpack(block["vector"])
    order = pc.call_function("sort_indices", [ids], pc.SortOptions())
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
