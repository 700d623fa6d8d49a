"""Why a candidate is not a negative: pure functions over whole rankings, applied in a fixed order, each counted.

A ranking has N rows over all queries. Queries and passages are row numbers of their tables, texts are 64-bit hashes of
their normalised form, so that every filter is a few NumPy operations.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from syneg.mine.passages import EMPTY
from syneg.settings.mine import SamplerConfig

_ODD = np.uint64(0x9E3779B97F4A7C15)  # spreads the queries over all bits

FloatArray = np.ndarray
IntArray = np.ndarray


@dataclass(frozen=True)
class Ranked:
    """One sampler's ranking, row by row: queries in blocks, best first within a query."""

    query: IntArray  # int64 [N]
    passage: IntArray  # int64 [N]
    rank: IntArray  # int32 [N], 0 is the best
    score: FloatArray  # float32 [N]
    anchor: FloatArray  # float32 [N]: the score of the query's lowest-scoring positive; NaN if unknown


@dataclass(frozen=True)
class Judged:
    """What must never become a negative of Q queries. `keys` and `simhashes` are those of all P passages (`Passages`).

    A query may be a passage itself, as in ArguAna and Quora: by its id, or by its text.
    """

    keys: np.ndarray  # uint64 [P]
    simhashes: np.ndarray  # uint64 [P]
    pairs: IntArray  # int64 [J, 2]: query and passage of every judgement with relevance > 0
    own: IntArray  # int64 [Q]: the passage that has the query's id, -1 where none has
    query_keys: np.ndarray  # uint64 [Q]: of the queries' texts, as `keys`


def reject_reasons(
    ranked: Ranked, judged: Judged, sampler: SamplerConfig, near_duplicate_bits: int | None = None
) -> pa.StringArray:
    """The first reason that applies to each row (of `rejection.REASONS`), null for a negative: string [N]."""
    key = judged.keys[ranked.passage]
    positive, same_text, near = (np.zeros(len(key), dtype=bool) for _ in range(3))
    for rows, positives in _with_positives(ranked, judged):
        passages = ranked.passage[rows]
        positive[rows] |= passages == positives
        same_text[rows] |= key[rows] == judged.keys[positives]
        if near_duplicate_bits is not None:
            differing = np.bitwise_count(judged.simhashes[passages] ^ judged.simhashes[positives])
            near[rows] |= differing <= near_duplicate_bits
    masks = {
        "positive": positive,
        "same_text_as_positive": same_text,
        "near_duplicate_of_positive": near,
        "query_itself": (ranked.passage == judged.own[ranked.query]) | (key == judged.query_keys[ranked.query]),
        "empty_passage": key == np.uint64(EMPTY),
        "same_text_as_other": repeated(ranked.query, key),
        "outside_window": (ranked.rank < sampler.window_start) | (ranked.rank >= sampler.window_end),
        "below_min_score": ranked.score < (-np.inf if sampler.min_score is None else sampler.min_score),
        "above_margin": above_margin(ranked.score, ranked.anchor, sampler),
    }
    number = np.zeros(len(key), np.int8)  # of the reason, from 1; as texts a million of them take half a second
    for nth, mask in reversed([*enumerate(masks.values(), start=1)]):
        number[mask] = nth
    return pa.DictionaryArray.from_arrays(pa.array(number - 1, mask=number == 0), [*masks]).cast(pa.string())


def above_margin(score: FloatArray, anchor: FloatArray, sampler: SamplerConfig) -> np.ndarray:
    """Too close to the positive: s(q,d-) > s(q,d+) - |s(q,d+)| m, or > s(q,d+) - m (NV-Retriever, arXiv 2407.15831).

    The absolute value matters for negative scores, where s+ (1 - m) would move the limit the wrong way. Without a known
    anchor no margin applies.
    """
    too_close = np.zeros(len(score), dtype=bool)
    if sampler.relative_margin is not None:
        too_close |= score > anchor - np.abs(anchor) * sampler.relative_margin
    if sampler.absolute_margin is not None:
        too_close |= score > anchor - sampler.absolute_margin
    return too_close


def _with_positives(ranked: Ranked, judged: Judged) -> Iterator[tuple[IntArray, IntArray]]:
    """Rows of the ranking, each beside a positive of its query: the first of every query at once, then the second."""
    pairs = judged.pairs[np.argsort(judged.pairs[:, 0], kind="stable")]
    first, end = (np.searchsorted(pairs[:, 0], ranked.query, side) for side in ("left", "right"))
    for nth in range(int((end - first).max(initial=0))):
        rows = np.flatnonzero(first + nth < end)
        yield rows, pairs[first[rows] + nth, 1]


def repeated(query: IntArray, key: np.ndarray) -> np.ndarray:
    """Whether an earlier row of the same query has the same key: bool [N]."""
    same = np.zeros(len(key), dtype=bool)
    mixed = np.sort(key ^ query.astype(np.uint64) * _ODD)
    if not (mixed[1:] == mixed[:-1]).any():  # as mostly: no two rows are alike, and this sort is the fastest
        return same
    order = np.lexsort((key, query))  # stable: equal ones stay in their order
    same[order[1:]] = (query[order[1:]] == query[order[:-1]]) & (key[order[1:]] == key[order[:-1]])
    return same
