"""Products on a CPU, tile by tile, each looked at while it is in the cache.

A tile is a sample of the passages. So what the best of some tiles score tells what the best of all will, and a guess of
it leaves fewer pairs to be scored than what is certain.
"""

import math
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from syneg.search import threads
from syneg.search.bounds import ALLOWANCE, Pairs, norms, off_by_sums

_TILE_ROWS = 8_192
_QUERIES = 512  # 16 MB of products
_GROUP = 32  # passages that are dealt together; products whose maximum is looked at first
_GROUPS = 8  # at least, for each of the k that are sought
_SAMPLE = 4_096  # passages that the mean is taken of


@dataclass(frozen=True)
class _Queries:
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
class _Tile:
    """P passages. All of a group have the same step and off."""

    row_P: np.ndarray  # which they are
    vectors_PD: Any  # as they are multiplied
    step_P: np.ndarray
    off_P: np.ndarray


class Float32:
    """`Products` by NumPy."""

    queries = _QUERIES

    def __init__(self, passages_PD: np.ndarray) -> None:
        self.threads = threads.allowed()
        dealt = _dealt(np.arange(len(passages_PD)))
        self._passages_PD = passages_PD[np.concatenate(dealt)].astype(np.float32)
        self._place_P = np.argsort(np.concatenate(dealt))
        self._norm = float(norms(self._passages_PD).max())
        parts = np.split(self._passages_PD, np.cumsum([len(row_P) for row_P in dealt])[:-1])
        self._tiles = [
            _Tile(row_P, own_PD, np.ones(len(row_P)), np.zeros(len(row_P)))
            for row_P, own_PD in zip(dealt, parts, strict=True)
        ]
        self._products, self._taken = (_Room(partial(np.empty, dtype=np.float32)) for _ in range(2))

    def vectors(self, row_N: np.ndarray) -> np.ndarray:
        return _taken(self._passages_PD, self._place_P[row_N], self._taken)

    def reaching(self, queries_BD: np.ndarray, k: int, least_B: np.ndarray, sure: bool) -> Pairs:
        lost_B = off_by_sums(queries_BD, self._norm)
        queries = _Queries(np.ones_like(lost_B), np.zeros_like(lost_B), lost_B, np.zeros_like(lost_B), mostly=1)

        def multiplied(passages_PD: np.ndarray) -> np.ndarray:
            room_BP = self._products.of(len(queries_BD), len(passages_PD))
            return np.matmul(queries_BD, passages_PD.T, out=room_BP)

        return _reaching(self._tiles, multiplied, queries, k, least_B, sure)


class Int8:
    """`Products` by torch: vectors in steps of a 127th of their largest number, sums without error.

    Passages count from about their mean, m: q p = q m + q (p - m), and q m is the same for all of them. So less is lost
    of a model's vectors that all lie in one corner. Passages with like largest numbers share a group and its step.
    """

    queries = _QUERIES

    def __init__(self, passages_PD: np.ndarray) -> None:
        import torch

        self._torch: Any = torch
        self.threads = threads.allowed()
        self._passages_PD = passages_PD
        self._mean_D = self._floats(np.arange(0, len(passages_PD), 1 + len(passages_PD) // _SAMPLE)).mean(dim=0)
        self._spread, largest_P = 0.0, torch.empty(len(passages_PD))
        for first in range(0, len(passages_PD), _TILE_ROWS):
            own = slice(first, first + _TILE_ROWS)
            away_PD = self._floats(own).sub_(self._mean_D)
            self._spread = max(self._spread, float(away_PD.norm(dim=1).max()))
            largest_P[own] = away_PD.abs_().amax(dim=1)
        self._norm = self._spread + float(self._mean_D.norm())
        self._tiles = [self._tile(row_P, largest_P.numpy()[row_P]) for row_P in _dealt(largest_P.argsort().numpy())]
        self._products = _Room(partial(torch.empty, dtype=torch.int32))
        self._taken, self._vectors = _Room(partial(np.empty, dtype=passages_PD.dtype)), _Room(torch.empty)

    def _floats(self, rows: "slice | np.ndarray") -> Any:
        return self._torch.from_numpy(self._passages_PD[rows].copy()).float()  # torch warns of what is read-only

    def _tile(self, row_P: np.ndarray, largest_P: np.ndarray) -> _Tile:
        """Vectors as int8; off is how far one of its group is from its steps at most."""
        step_P = _step(_largest_of_group(largest_P))
        step_P1, away_PD = self._torch.from_numpy(step_P)[:, None], self._floats(row_P).sub_(self._mean_D)
        rounded_PD = (away_PD / step_P1).round_()
        off_P = _largest_of_group(away_PD.sub_(rounded_PD * step_P1).norm(dim=1).numpy())
        return _Tile(row_P, rounded_PD.to(self._torch.int8), step_P, off_P)

    def vectors(self, row_N: np.ndarray) -> np.ndarray:
        given_ND = _taken(self._passages_PD, row_N, self._taken)
        return self._vectors.of(*given_ND.shape).copy_(self._torch.from_numpy(given_ND)).numpy()  # NumPy takes longer

    def reaching(self, queries_BD: np.ndarray, k: int, least_B: np.ndarray, sure: bool) -> Pairs:
        unit_B = _step(np.abs(queries_BD).max(axis=1).astype(np.float64))  # as squares they must not vanish
        rounded_BD = np.rint(queries_BD / unit_B[:, None])
        kept_BD = rounded_BD * unit_B[:, None]
        # q (p - m) - q' p' = (q - q') (p - m) + q' (p - m - p')
        lost_B = ALLOWANCE * norms(queries_BD - kept_BD) * self._spread + off_by_sums(queries_BD, self._norm)
        queries = _Queries(
            unit_B,
            queries_BD @ self._mean_D.numpy(),
            lost_B / unit_B,
            ALLOWANCE * norms(kept_BD) / unit_B,
            mostly=min(1, 4 / math.sqrt(queries_BD.shape[1])),  # four standard deviations of errors of either sign
        )
        factors_BD = self._torch.from_numpy(rounded_BD.astype(np.int8))

        def multiplied(passages_PD: Any) -> np.ndarray:
            room_BP = self._products.of(len(factors_BD), len(passages_PD))
            return self._torch._int_mm(factors_BD, passages_PD.T, out=room_BP).numpy()

        return _reaching(self._tiles, multiplied, queries, k, least_B, sure)


def _step(largest: Any) -> Any:
    return np.maximum(largest, 1e-30) / 127


class _Room(threading.local):
    """Memory of a thread's own, the same each time: what is new costs as much as what is written there."""

    def __init__(self, new: Callable[[int], Any]) -> None:
        self._new, self._values = new, new(0)

    def of(self, *shape: int) -> Any:
        size = math.prod(shape)
        if len(self._values) < size:
            self._values = self._new(size)
        return self._values[:size].reshape(shape)


def _taken(passages_PD: np.ndarray, row_N: np.ndarray, room: _Room) -> np.ndarray:
    return np.take(passages_PD, row_N, axis=0, out=room.of(len(row_N), passages_PD.shape[1]), mode="clip")


def _dealt(order_P: np.ndarray) -> list[np.ndarray]:
    """Passages in tiles: each gets a group of every few hundred neighbours in `order_P`, drawn at random. So it is a
    sample of them, whatever stands together. Only the last tile, of what remains, may not divide into groups."""
    tiles = max(1, round(len(order_P) / _TILE_ROWS))
    whole = len(order_P) // (tiles * _GROUP) * tiles * _GROUP
    runs = np.random.default_rng(0).permuted(order_P[:whole].reshape(-1, tiles * _GROUP), axis=1)
    dealt = [*runs.reshape(-1, tiles, _GROUP).swapaxes(0, 1).reshape(tiles, -1), order_P[whole:]]
    return [row_P for row_P in dealt if len(row_P)]


def _largest_of_group(values_P: np.ndarray) -> np.ndarray:
    starts = np.arange(0, len(values_P), _GROUP)
    return np.repeat(np.maximum.reduceat(values_P, starts), _GROUP)[: len(values_P)]


def _group(passages: int, k: int) -> int:
    """A size, which is a power of two."""
    return 1 << max(0, min(_GROUP, passages // (_GROUPS * k)).bit_length() - 1)


def _reaching(
    tiles: Sequence[_Tile],
    multiplied: Callable[[Any], np.ndarray],
    queries: _Queries,
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
        size = min(_group(passages, k), 1 if len(tile.row_P) % _GROUP else _GROUP)
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
    """A score, as products count, that each query's k best of all passages reach: all of them surely, or, as far as the
    best of those seen so far are those of a sample, nearly always."""

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
    """The k largest, or all; the least stands first. To partition at two places at once takes four times as long."""
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
