"""Dense search through an inverted file (FAISS): only the lists nearest to a query are looked at, so some of the best
passages may be missed. For CPUs above a million passages.

The lists' centres are learnt once, from a sample that the ids of the corpus decide. Each worker then sorts its
passages into lists around the same centres, so that what all of them find together is what one index of the whole
corpus would find, however the passages are shared out.
"""

from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
from faiss.contrib.big_batch_search import big_batch_search

from syneg.ids import in_one, order_of, rows_of
from syneg.search.bounds import off_by_sums
from syneg.search.dense import Best, in_blocks, merged, of_pairs
from syneg.settings.mine import IvfConfig
from syneg.stage import Source
from syneg.vectors import unpack

_BLOCK_ROWS = 65_536
_LEARNT_FROM = 50  # vectors of the sample for each list; FAISS asks for 39 or more
_SLACK = 16  # asked for beyond k: of a few equal scores the pairs' own order decides, of more see `_with_ties`
_QUERIES_OF_A_LIST = 16  # on average; FAISS needs more than one
_LONGEST = 1.001  # of a vector: of length 1, in float16
_PAIRS = 4_096  # scored at once: their vectors stay in the cache


@dataclass(frozen=True)
class Centres:
    """The centres of every worker's lists."""

    index: np.ndarray  # uint8: a FAISS index without vectors, as bytes
    probes: int

    @classmethod
    def learn(cls, vectors: Source, settings: IvfConfig) -> "Centres":
        """k-means over a sample of `vectors` (id, vector); memory is bounded by the sample and the ids."""
        ids = in_one(block["id"] for block in vectors.blocks(["id"]))
        lists, probes = settings.resolved(len(ids))
        drawn = np.random.default_rng(settings.seed).choice(
            len(ids), min(len(ids), _LEARNT_FROM * lists), replace=False
        )
        sample = ids.take(pa.array(np.argsort(order_of(ids))[np.sort(drawn)])).to_pylist()
        learnt_PD = unpack(vectors.where("id", sample).sort_by("id")["vector"]).astype(np.float32)
        width, kind = learnt_PD.shape[1], faiss.METRIC_INNER_PRODUCT
        # float16 and no residuals: the vectors as they are stored, without another loss.
        half = faiss.ScalarQuantizer.QT_fp16
        index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(width), width, lists, half, kind, False)
        index.cp.seed, index.cp.min_points_per_centroid = settings.seed + 1, 1
        index.train(learnt_PD)
        return cls(faiss.serialize_index(index), probes)


@dataclass(frozen=True)
class Lists:
    """P passages in their lists."""

    index: np.ndarray  # uint8: a FAISS index, as bytes, which workers of a machine read from one memory map
    ids: pa.Array  # string [P]
    probes: int

    @classmethod
    def of(cls, centres: Centres, vectors: Source) -> "Lists":
        """Of the rows of `vectors` (id, vector), read once, block by block."""
        index: Any = faiss.deserialize_index(centres.index)
        ids: list[pa.ChunkedArray] = []
        for block in in_blocks(vectors.blocks(), _BLOCK_ROWS):
            index.add(unpack(block["vector"]).astype(np.float32))
            ids.append(block["id"])
        index.make_direct_map()
        return cls(faiss.serialize_index(index), in_one(ids), centres.probes)

    def search(self, queries_QD: np.ndarray, k: int) -> Best:
        """The k best among the lists that are looked at, by the scores that `dense.search` gives the same pairs, equal
        ones in the order of ids."""
        index = self._opened()
        queries_QD = queries_QD.astype(np.float32)
        rows_QK = _nearest(index, queries_QD, min(k + _SLACK, len(self.ids)))
        scores_QK = np.empty(rows_QK.shape, np.float32)
        step = max(1, _PAIRS // rows_QK.shape[1])
        for start in range(0, len(rows_QK), step):
            own = slice(start, start + step)
            scores_QK[own] = of_pairs(_vectors(index, rows_QK[own]), queries_QD[own, None])
        scores_QK = np.where(rows_QK < 0, np.float32(-np.inf), scores_QK)
        if k < rows_QK.shape[1] < len(self.ids):
            self._with_ties(index, queries_QD, k, scores_QK, rows_QK)
        return merged([Best(scores_QK, rows_QK, self.ids)], k)

    def _with_ties(
        self, index: faiss.IndexIVF, queries_QD: np.ndarray, k: int, scores_QK: np.ndarray, rows_QK: np.ndarray
    ) -> None:
        """Puts into `scores_QK` and `rows_QK` the best of the queries of which FAISS, whose sums round otherwise, may
        have left one out: the last that it gave scores no less than the k-th, but for rounding. As many may be equal
        as a corpus has copies, so all that reach the k-th are asked for."""
        width = rows_QK.shape[1]
        kth_Q = np.partition(scores_QK, width - k, axis=1)[:, width - k]
        off_Q = 2 * off_by_sums(queries_QD, _LONGEST)  # of a sum of FAISS, and of the bound that it is compared with
        for query in np.flatnonzero(~np.isneginf(kth_Q) & (scores_QK.min(axis=1) >= kth_Q - off_Q)):
            asked_1D, bound = queries_QD[query : query + 1], float(kth_Q[query] - off_Q[query])
            rows = index.range_search(asked_1D, bound)[2]
            pieces = np.array_split(rows, -(-len(rows) // _PAIRS))
            scores = np.concatenate([of_pairs(_vectors(index, piece), asked_1D) for piece in pieces])
            best = np.lexsort((order_of(self.ids.take(pa.array(rows))), -scores))[:width]
            scores_QK[query], rows_QK[query] = -np.inf, -1
            scores_QK[query, : len(best)], rows_QK[query, : len(best)] = scores[best], rows[best]

    def scores(self, queries_ND: np.ndarray, passage_ids: pa.Array) -> np.ndarray:
        """The score of one passage for each query: float32 [N], NaN for passages that are not here."""
        rows = rows_of(passage_ids, self.ids)
        here, found = rows >= 0, np.full(len(rows), np.nan, np.float32)
        if here.any():
            found[here] = of_pairs(_vectors(self._opened(), rows[here]), queries_ND[here])
        return found

    def shape(self) -> tuple[int, int]:
        """How many lists there are, and how many a query looks at."""
        return self._opened().nlist, self.probes

    def _opened(self) -> faiss.IndexIVF:
        index: Any = faiss.deserialize_index(self.index)  # comes as an IndexIVFScalarQuantizer
        index.nprobe = self.probes
        return index


def _nearest(index: faiss.IndexIVF, queries_QD: np.ndarray, k: int) -> np.ndarray:
    """int64 [Q, k], -1 where there are fewer. One query after the other, most of the time goes to reading vectors; so a
    list is read once for all queries that look at it, where they are many enough to pay for it."""
    if len(queries_QD) * index.nprobe < _QUERIES_OF_A_LIST * index.nlist:
        return index.search(queries_QD, k)[1]
    with redirect_stdout(StringIO()):  # it prints a line for each list
        return big_batch_search(index, queries_QD, k, method="pairwise_distances")[1]


def _vectors(index: faiss.IndexIVF, rows: np.ndarray) -> np.ndarray:
    """float32 [..., D] of row numbers of any shape; for -1 that of some passage."""
    return index.reconstruct_batch(np.maximum(rows, 0).ravel()).reshape(*rows.shape, -1)
