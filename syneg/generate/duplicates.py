"""Near-duplicates among the negatives of a whole run, without comparing all with all.

MinHash (Broder 1997) with banding: texts that are alike agree in some band of their signatures with near certainty, so
only texts that share a band are compared, exactly. A negative is a duplicate if one with a smaller id, itself no
duplicate, is as similar as the threshold. That does not depend on the order of the rows.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

_GRAM = 3  # words
_HASHES = 128
_MISSED = 1e-3  # share of pairs exactly at the threshold that may go unnoticed
_RANDOM = np.random.default_rng(2412_17250)  # fixed: signatures of two runs are comparable
_FACTORS = _RANDOM.integers(1, 2**63, _HASHES, np.uint64) * np.uint64(2) + np.uint64(1)
_OFFSETS = _RANDOM.integers(0, 2**63, _HASHES, np.uint64)


def grams(words: Sequence[str]) -> frozenset[int]:
    """The word 3-grams of a text, hashed; a shorter text is one gram."""
    runs = max(len(words) - _GRAM + 1, 1)
    return frozenset(zlib.crc32(" ".join(words[start : start + _GRAM]).encode()) for start in range(runs))


def similarity(one: frozenset[int], other: frozenset[int]) -> float:
    """Jaccard."""
    return len(one & other) / len(one | other)


def rows_per_band(threshold: float) -> int:
    """The longest band with which two texts at the threshold still share one, but for `_MISSED` of the cases.

    The chance that b bands of r values all differ at similarity s is (1 - s^r)^b.
    """
    fits = [rows for rows in range(1, 17) if (1 - threshold**rows) ** (_HASHES // rows) <= _MISSED]
    return max(fits, default=1)


def signature(text_grams: frozenset[int], rows: int) -> np.ndarray:
    """BANDS uint64: one hash a band of `rows` MinHash values."""
    values = np.fromiter(text_grams, np.uint64, len(text_grams))
    # Multiply-shift hashing; the upper half of the product is the well-mixed one.
    minima = ((values[:, None] * _FACTORS + _OFFSETS) >> np.uint64(32)).min(axis=0)  # HASHES
    bands = minima[: _HASHES // rows * rows].reshape(-1, rows)  # BANDS x ROWS
    mixed = np.zeros(len(bands), np.uint64)
    for column in bands.T:
        mixed = (mixed ^ column) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed


def suspects(signatures: np.ndarray) -> np.ndarray:
    """Indices of the texts that share a band with another. `signatures`: N x BANDS, uint64."""
    shared = np.zeros(len(signatures), bool)
    for band in signatures.T:
        order = np.argsort(band, kind="stable")
        same = band[order[1:]] == band[order[:-1]]
        shared[order[1:][same]] = True
        shared[order[:-1][same]] = True
    return np.flatnonzero(shared)


def alike(
    ids: Sequence[str],
    signatures: np.ndarray,
    grams_of: Mapping[str, frozenset[int]],
    known: Sequence[str],
    known_signatures: np.ndarray,
    known_grams_of: Mapping[str, frozenset[int]],
    threshold: float,
) -> Iterator[tuple[str, str]]:
    """(one of `ids`, one of `known`) that are as similar as the threshold. Both signatures are N x BANDS."""
    places: dict[tuple[int, int], list[str]] = defaultdict(list)
    for name, bands in zip(known, known_signatures.tolist(), strict=True):
        for band in enumerate(bands):
            places[band].append(name)
    for name, bands in zip(ids, signatures.tolist(), strict=True):
        for rival in sorted({rival for band in enumerate(bands) for rival in places.get(band, ())}):
            if similarity(grams_of[name], known_grams_of[rival]) >= threshold:
                yield name, rival


def duplicates(
    ids: Sequence[str], signatures: np.ndarray, grams_of: Mapping[str, frozenset[int]], threshold: float
) -> frozenset[str]:
    """The ids that are duplicates. `signatures`: N x BANDS for N `ids`, which may be the suspects alone."""
    kept: dict[tuple[int, int], list[str]] = defaultdict(list)  # those without a duplicate before them, by band
    found = set()
    for index in sorted(range(len(ids)), key=ids.__getitem__):
        bands = list(enumerate(signatures[index].tolist()))
        rivals = {rival for band in bands for rival in kept.get(band, ())}
        own = grams_of[ids[index]]
        if any(similarity(own, grams_of[rival]) >= threshold for rival in rivals):
            found.add(ids[index])
        else:
            for band in bands:
                kept[band].append(ids[index])
    return frozenset(found)
