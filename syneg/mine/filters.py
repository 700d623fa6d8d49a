"""Why a candidate is not a negative: pure functions over whole rankings, applied in a fixed order, each counted.

A ranking has N rows over all queries. Queries and passages are row numbers of their tables, texts are 64-bit hashes of
their normalised form, so that every filter is a few NumPy operations.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from syneg.settings.mine import SamplerConfig
from syneg.texts import normalized, passage_text

FloatArray = np.ndarray
IntArray = np.ndarray


def text_key(title: str, text: str) -> int:
    """Equal for passages with the same normalised text. The title is left out: mirrored passages often differ in it."""
    body = normalized(text) or normalized(passage_text(title, text))
    digest = hashlib.blake2b(body.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


EMPTY = text_key("", "")


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
    """What must never become a negative. `keys` are the text keys of all P passages."""

    keys: np.ndarray  # uint64 [P]
    pairs: IntArray  # int64 [J, 2]: query and passage of every judgement with relevance > 0


def reject_reasons(ranked: Ranked, judged: Judged, sampler: SamplerConfig) -> np.ndarray:
    """The first reason that applies to each row (`schemas.CANDIDATE_REASONS`), None for a negative: object [N]."""
    key = judged.keys[ranked.passage]
    positive_keys = judged.keys[judged.pairs[:, 1]]
    masks = {
        "positive": _among(ranked.query, ranked.passage, judged.pairs[:, 0], judged.pairs[:, 1]),
        "same_text_as_positive": _among(ranked.query, key, judged.pairs[:, 0], positive_keys),
        "empty_passage": key == np.uint64(EMPTY),
        "same_text_as_other": _repeated(ranked.query, key),
        "outside_window": (ranked.rank < sampler.window_start) | (ranked.rank >= sampler.window_end),
        "above_margin": above_margin(ranked.score, ranked.anchor, sampler),
    }
    reasons = np.full(len(key), None, dtype=object)
    for reason, mask in reversed(masks.items()):
        reasons[mask] = reason
    return reasons


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


def lowest_anchor(queries: int, query: IntArray, score: FloatArray) -> FloatArray:
    """The lowest of the positives' scores for each of `queries` queries: float32 [Q], NaN where there is none."""
    anchors = np.full(queries, np.inf, dtype=np.float32)
    np.minimum.at(anchors, query, score.astype(np.float32))
    return np.where(np.isinf(anchors), np.float32(np.nan), anchors)


def _among(query: IntArray, value: np.ndarray, of_query: IntArray, of_value: np.ndarray) -> np.ndarray:
    """Whether (query, value) is one of the pairs (of_query, of_value): bool [N]."""
    kind = np.dtype([("query", np.int64), ("value", np.uint64)])

    def paired(queries: Iterable[int], values: Iterable[int]) -> np.ndarray:
        pairs = np.empty(len(queries), kind)  # type: ignore[arg-type]
        pairs["query"], pairs["value"] = queries, values
        return pairs

    return np.isin(paired(query, value), paired(of_query, of_value))


def _repeated(query: IntArray, key: np.ndarray) -> np.ndarray:
    """Whether an earlier row of the same query has the same key: bool [N]."""
    order = np.lexsort((np.arange(len(key)), key, query))
    same = np.zeros(len(key), dtype=bool)
    same[order[1:]] = (query[order[1:]] == query[order[:-1]]) & (key[order[1:]] == key[order[:-1]])
    return same
