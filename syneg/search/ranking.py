"""From scores and row numbers to a ranking table."""

import numpy as np
import pyarrow as pa

from syneg.ids import order_of, renumbered
from syneg.schemas import RANKING


def ranking_table(
    query_ids: pa.ChunkedArray | pa.Array,
    passage_ids: pa.ChunkedArray | pa.Array,
    rows: np.ndarray,
    scores: np.ndarray,
    k: int,
) -> pa.Table:
    """The best k of each query by score, then by passage id.

    Args:
        query_ids: Q ids.
        passage_ids: P ids.
        rows: int [Q, K], numbers of rows in `passage_ids`; -1 where a query has fewer than K.
        scores: float [Q, K].
        k: how many are kept a query.

    Returns:
        `schemas.RANKING`.
    """
    used, place = renumbered(rows, len(passage_ids))
    tie = np.append(order_of(passage_ids.take(pa.array(used))), -1)[place]
    order = np.lexsort((tie, -scores, rows < 0), axis=1)[:, :k]
    rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    query_of, rank = np.nonzero(rows >= 0)
    return pa.table(
        [
            query_ids.take(pa.array(query_of)),
            passage_ids.take(pa.array(rows[query_of, rank])),
            pa.array(rank.astype(np.int32)),
            pa.array(scores[query_of, rank].astype(np.float32)),
        ],
        schema=RANKING,
    )
