"""Exact dense search, block by block: memory is bounded by one block and k, whatever the corpus.

The vectors are L2-normalised, so that the inner product is the cosine.
"""

from collections.abc import Iterable

import faiss
import numpy as np
import pyarrow as pa

from syneg.search.ranking import ranking_table

# More than k are kept until the end, so that passages with equal scores around rank k are cut by id and not by the
# order in which their blocks came. More than this many ties at rank k would be cut arbitrarily.
_SLACK = 16


def matrix(vectors: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """A column of embeddings as float16 [N, D], without a copy where it is one chunk."""
    array = vectors.combine_chunks() if isinstance(vectors, pa.ChunkedArray) else vectors
    width = array.type.byte_width // 2
    flat = np.frombuffer(array.buffers()[1] or b"", dtype=np.float16)
    return flat[array.offset * width : (array.offset + len(array)) * width].reshape(len(array), width)


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
    query_vectors = matrix(queries["vector"]).astype(np.float32)
    scores = np.empty((len(query_vectors), 0), dtype=np.float32)
    rows = np.empty((len(query_vectors), 0), dtype=np.int64)
    ids: list[pa.ChunkedArray] = []
    before = 0
    for block in passages:
        if not block.num_rows:
            continue
        block_scores, block_rows = _top_of_block(query_vectors, matrix(block["vector"]), k + _SLACK)
        scores, rows = _keep_best(np.hstack([scores, block_scores]), np.hstack([rows, block_rows + before]), k + _SLACK)
        ids.append(block["id"])
        before += block.num_rows
    passage_ids = pa.chunked_array([chunk for column in ids for chunk in column.chunks], pa.string())
    return ranking_table(queries["id"], passage_ids, rows, scores, k)


def _top_of_block(queries: np.ndarray, passages: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and row numbers [Q, min(k, P)] within one block of P passages."""
    passages = passages.astype(np.float32)
    _, rows = faiss.knn(queries, passages, min(k, len(passages)), metric=faiss.METRIC_INNER_PRODUCT)
    # Scored again pair by pair: a matrix product rounds differently with the block's shape, this sum does not.
    scores = np.empty(rows.shape, dtype=np.float32)
    for query, (vector, found) in enumerate(zip(queries, rows, strict=True)):
        scores[query] = np.einsum("pd,d->p", passages[found], vector)
    return scores, rows


def _keep_best(scores: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    if scores.shape[1] <= k:
        return scores, rows
    best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    return np.take_along_axis(scores, best, axis=1), np.take_along_axis(rows, best, axis=1)
