"""Products on a CPU, tile by tile, each looked at while it is in the cache.

A tile is a sample of the passages. The best scores of the first tiles predict the overall best, and this guess leaves
fewer pairs to be scored than a certain bound.
"""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from syneg.search.bounds import Pairs

TILE_ROWS = 8_192
GROUP = 64  # passages that are dealt together; products whose maximum is looked at first
_GROUPS = 8  # at least, for each of the k that are sought


@dataclass(frozen=True)
class Queries:
    """B queries, whose products with passages stand for scores of `product * step * unit + centre`, give or take
    `(lost + length * off) * unit`; step and off are the passage's. Few are off by more than `mostly` of that."""

    unit_B: np.ndarray
    centre_B: np.ndarray
    lost_B: np.ndarray
    length_B: np.ndarray
    mostly: float

    def as_products(self, score_B: np.ndarray) -> np.ndarray:
        return (score_B.astype(np.float64) - self.centre_B) / self.unit_B

    def as_scores(self, product_B: np.ndarray) -> np.ndarray:
        return product_B * self.unit_B + self.centre_B

    def off(self, off_G: np.ndarray) -> np.ndarray:
        """float64 [B, G], by a product since that writes its sums once."""
        return np.column_stack([self.lost_B, self.length_B]) @ np.vstack([np.ones_like(off_G), off_G])


@dataclass(frozen=True)
class Tile:
    """P passages. All of a group have the same step and off."""

    row_P: np.ndarray  # which they are
    vectors_PD: Any  # as they are multiplied
    step_P: np.ndarray
    off_P: np.ndarray


def dealt(order_P: np.ndarray) -> list[np.ndarray]:
    """Passages in tiles: `order_P` is cut into runs of as many groups as there are tiles, each tile is dealt a group
    of each, at random. So it is a sample, whatever was together. Only the last, of what remains, may not divide into
    groups."""
    tiles = max(1, round(len(order_P) / TILE_ROWS))
    whole = len(order_P) // (tiles * GROUP) * tiles * GROUP
    runs = np.random.default_rng(0).permuted(order_P[:whole].reshape(-1, tiles * GROUP), axis=1)
    parts = [*runs.reshape(-1, tiles, GROUP).swapaxes(0, 1).reshape(tiles, -1), order_P[whole:]]
    return [row_P for row_P in parts if len(row_P)]


def _group(passages: int, k: int) -> int:
    """A size, which is a power of two."""
    return 1 << max(0, min(GROUP, passages // (_GROUPS * k)).bit_length() - 1)


def reaching(
    tiles: Sequence[Tile],
    multiplied: Callable[[Any], np.ndarray],
    queries: Queries,
    k: int,
    least_B: np.ndarray,
    sure: bool,
) -> Pairs:
    """What reaches a floor that rises from tile to tile."""
    passages = sum(len(tile.row_P) for tile in tiles)
    floor = _Floor(queries.as_products(least_B), passages, k, sure or k >= passages)
    found = list[tuple[np.ndarray, ...]]()
    for tile in tiles:
        products_BP = multiplied(tile.vectors_PD)
        size = min(_group(passages, k), 1 if len(tile.row_P) % GROUP else GROUP)
        step_G, off_BG = tile.step_P[::size], queries.off(tile.off_P[::size])
        largest_BG = _largest(products_BP, size) * step_G
        floor.rise(largest_BG, off_BG * (1 if floor.sure else queries.mostly), len(tile.row_P))
        largest_BG += off_BG
        query_N, group_N = np.divmod(np.flatnonzero(largest_BG >= floor.value_B[:, None]), len(step_G))
        off_N, step_N = off_BG[query_N, group_N], step_G[group_N]
        near_NS = products_BP.reshape(-1, size).take(query_N * len(step_G) + group_N, axis=0)
        nth_M, within_M = np.divmod(_reached(near_NS, (floor.value_B[query_N] - off_N) / step_N), size)
        most_M = near_NS[nth_M, within_M] * step_N[nth_M] + off_N[nth_M]
        found.append((query_N[nth_M], tile.row_P[group_N[nth_M] * size + within_M], most_M))
    query_N, row_N, most_N = (np.concatenate(values) for values in zip(*found, strict=True))
    kept_N = np.flatnonzero(most_N >= floor.value_B[query_N])  # it was lower when they were found
    kept_N = kept_N[np.argsort(query_N[kept_N], kind="stable")]
    return Pairs(query_N[kept_N], row_N[kept_N], np.where(floor.risen_B, queries.as_scores(floor.value_B), least_B))


class _Floor:
    """A lower bound on each query's k-th best score, in product units: a certain one, or one that holds nearly always,
    as far as the best of those seen so far are those of a sample."""

    def __init__(self, least_B: np.ndarray, passages: int, k: int, sure: bool) -> None:
        self.value_B, self.risen_B, self.sure = least_B, np.isneginf(least_B), sure
        self._passages, self._k, self._seen, self._best_BN = passages, k, 0, np.empty((len(least_B), 0))

    def rise(self, largest_BG: np.ndarray, off_BG: np.ndarray, passages: int) -> None:
        """By what the largest of each group of so many `passages` score at least. Where it was given, it stays."""
        self._seen += passages
        if not self.risen_B.any():
            return
        off_BG = np.subtract(largest_BG, off_BG, out=off_BG)
        self._best_BN = _best(np.hstack([self._best_BN, off_BG]), self._k)
        nth = self._k if self.sure else _nth(self._k, self._seen / self._passages)
        if self._best_BN.shape[1] >= nth:
            reached_B = _best(self._best_BN, nth)[:, 0]
            self.value_B = np.where(self.risen_B, np.maximum(self.value_B, reached_B), self.value_B)


def _best(values_BN: np.ndarray, k: int) -> np.ndarray:
    """The k largest, or all; the least comes first. To partition at two places at once takes four times as long."""
    k = min(k, values_BN.shape[1])
    return np.partition(values_BN, -k, axis=1)[:, -k:] if k else values_BN


def _nth(k: int, share: float) -> int:
    """How many of the k best are in such a sample at most, nearly always: on average `k * share`, and four standard
    deviations (of a hypergeometric distribution)."""
    mean = k * share
    return min(k, math.ceil(mean + 4 * math.sqrt(mean * (1 - share)) + 2))


def _largest(products_BP: np.ndarray, size: int) -> np.ndarray:
    """By torch where it is loaded: NumPy takes eight times as long."""
    groups_BGS, torch = products_BP.reshape(len(products_BP), -1, size), sys.modules.get("torch")
    return torch.from_numpy(groups_BGS).amax(dim=2).numpy() if torch else groups_BGS.max(axis=2)


def _reached(products_NS: np.ndarray, bound_N: np.ndarray) -> np.ndarray:
    """Places of the products, row by row, that are no less than their row's bound."""
    if products_NS.dtype == np.int32:
        bound_N = np.clip(np.ceil(bound_N), -(2**31), 2**31 - 1)
    return np.flatnonzero(products_NS >= bound_N.astype(products_NS.dtype)[:, None])
