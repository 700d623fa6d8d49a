"""Products on a CPU, tile by tile, each looked at while it is in the cache."""

import math
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from syneg.search import threads
from syneg.search.bounds import ALLOWANCE, Pairs, norms, off_by_sums

_TILE_ROWS = 8_192
_QUERIES = 512  # 16 MB of products
_GROUP = 32  # products whose maximum is looked at first
_GROUPS = 8  # at least, for each of the k that are sought
_SAMPLE = 4_096  # passages that the mean is taken of


@dataclass(frozen=True)
class _Tile:
    """B queries times P passages: what they score is `products * unit + centre`, give or take `off`."""

    row_P: np.ndarray  # which passages they are
    products_BP: np.ndarray  # float32 or int32
    unit_B: np.ndarray
    centre_B: np.ndarray
    off_B: np.ndarray


class Float32:
    """`Products` by NumPy."""

    queries = _QUERIES

    def __init__(self, passages_PD: np.ndarray) -> None:
        self.threads = threads.allowed()
        self._passages_PD = passages_PD.astype(np.float32)
        self._norm = float(norms(self._passages_PD).max())
        self._products, self._taken = (_Room(partial(np.empty, dtype=np.float32)) for _ in range(2))

    def vectors(self, row_N: np.ndarray) -> np.ndarray:
        return _taken(self._passages_PD, row_N, self._taken)

    def reaching(self, queries_BD: np.ndarray, k: int, least_B: np.ndarray) -> Pairs:
        return _reaching(self._tiles(queries_BD), k, least_B, _group(len(self._passages_PD), k))

    def _tiles(self, queries_BD: np.ndarray) -> Iterator[_Tile]:
        off_B = off_by_sums(queries_BD, self._norm)
        for own in _cuts(len(self._passages_PD)):
            row_P = np.arange(own.start, own.stop)
            products_BP = self._products.of(len(queries_BD), len(row_P))
            np.matmul(queries_BD, self._passages_PD[own].T, out=products_BP)
            yield _Tile(row_P, products_BP, np.ones_like(off_B), np.zeros_like(off_B), off_B)


class Int8:
    """`Products` by torch: vectors in steps of a 127th of their largest number, sums without error.

    Passages count from about their mean, m: q p = q m + q (p - m), and q m is the same for all of them. So less is lost
    of a model's vectors that all lie in one corner. Passages with like largest numbers share a tile and its step.
    """

    queries = _QUERIES

    def __init__(self, passages_PD: np.ndarray) -> None:
        import torch

        self._torch: Any = torch
        self.threads = threads.allowed()
        self._passages_PD = passages_PD
        self._mean_D = self._floats(np.arange(0, len(passages_PD), 1 + len(passages_PD) // _SAMPLE)).mean(dim=0)
        self._spread, largest_P = 0.0, torch.empty(len(passages_PD))
        for own in _cuts(len(passages_PD)):
            away_PD = self._floats(own).sub_(self._mean_D)
            self._spread = max(self._spread, float(away_PD.norm(dim=1).max()))
            largest_P[own] = away_PD.abs_().amax(dim=1)
        self._norm = self._spread + float(self._mean_D.norm())
        order_P = largest_P.argsort().numpy()
        self._rounded = [self._round(order_P[own], float(largest_P[order_P[own][-1]])) for own in _cuts(len(order_P))]
        self._products = _Room(partial(torch.empty, dtype=torch.int32))
        self._taken, self._vectors = _Room(partial(np.empty, dtype=passages_PD.dtype)), _Room(torch.empty)

    def _floats(self, rows: "slice | np.ndarray") -> Any:
        return self._torch.from_numpy(self._passages_PD[rows].copy()).float()  # torch warns of what is read-only

    def _round(self, row_P: np.ndarray, largest: float) -> tuple[np.ndarray, Any, float, float]:
        """The rows, their vectors as int8 [P, D], a step, and how far a vector is from its steps at most."""
        step, given_PD = _step(largest), self._floats(row_P).sub_(self._mean_D)
        rounded_PD = (given_PD / step).round_()
        off = float(given_PD.sub_(rounded_PD, alpha=step).norm(dim=1).max())
        return row_P, rounded_PD.to(self._torch.int8), step, off

    def vectors(self, row_N: np.ndarray) -> np.ndarray:
        given_ND = _taken(self._passages_PD, row_N, self._taken)
        return self._vectors.of(*given_ND.shape).copy_(self._torch.from_numpy(given_ND)).numpy()  # NumPy takes longer

    def reaching(self, queries_BD: np.ndarray, k: int, least_B: np.ndarray) -> Pairs:
        return _reaching(self._tiles(queries_BD), k, least_B, _group(len(self._passages_PD), k))

    def _tiles(self, queries_BD: np.ndarray) -> Iterator[_Tile]:
        step_B = _step(np.abs(queries_BD).max(axis=1).astype(np.float64))  # as squares they must not vanish
        rounded_BD = np.rint(queries_BD / step_B[:, None])
        kept_BD = rounded_BD * step_B[:, None]
        lost_B, length_B = norms(queries_BD - kept_BD), norms(kept_BD)
        centre_B, sums_B = queries_BD @ self._mean_D.numpy(), off_by_sums(queries_BD, self._norm)
        factors_BD = self._torch.from_numpy(rounded_BD.astype(np.int8))
        for row_P, rounded_PD, step, off in self._rounded:
            products_BP = self._products.of(len(queries_BD), len(row_P))
            self._torch._int_mm(factors_BD, rounded_PD.T, out=products_BP)
            # q (p - m) - q' p' = (q - q') (p - m) + q' (p - m - p')
            off_B = ALLOWANCE * (lost_B * self._spread + length_B * off) + sums_B
            yield _Tile(row_P, products_BP.numpy(), step_B * step, centre_B, off_B)


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


def _cuts(passages: int) -> list[slice]:
    """Tiles, of which only the last does not divide into groups."""
    edges = [*range(0, passages, _TILE_ROWS), passages // _GROUP * _GROUP, passages]
    return [slice(*own) for own in pairwise(edges) if own[0] < own[1]]


def _group(passages: int, k: int) -> int:
    """A size, which is a power of two."""
    return 1 << max(0, min(_GROUP, passages // (_GROUPS * k)).bit_length() - 1)


def _reaching(tiles: Iterable[_Tile], k: int, least_B: np.ndarray, group: int) -> Pairs:
    """The k-th best maximum of all groups so far is a bound that rises from tile to tile: k passages reach it."""
    least_B, unknown = least_B.astype(np.float64), bool(np.isneginf(least_B).any())
    sure_BK, found = np.empty((len(least_B), 0)), list[Pairs]()
    for tile in tiles:
        size = group if tile.products_BP.shape[1] % group == 0 else 1
        groups_BGS = tile.products_BP.reshape(len(least_B), -1, size)
        maxima_BG = _maxima(groups_BGS)
        if unknown:
            sure_BG = maxima_BG * tile.unit_B[:, None] + (tile.centre_B - tile.off_B)[:, None]
            sure_BK = np.hstack([sure_BK, sure_BG])
            if sure_BK.shape[1] >= k:
                sure_BK = np.partition(sure_BK, -k, axis=1)[:, -k:]
                least_B = np.maximum(least_B, sure_BK[:, 0])
        bound_B = (least_B - tile.centre_B - tile.off_B) / tile.unit_B
        query_N, column_N, product_N = _pairs_reaching(groups_BGS, maxima_BG, bound_B)
        most_N = product_N * tile.unit_B[query_N] + (tile.centre_B + tile.off_B)[query_N]
        found.append(Pairs(query_N, tile.row_P[column_N], most_N))
    query_N, row_N, most_N = (np.concatenate(values) for values in zip(*found, strict=True))
    kept_N = np.flatnonzero(most_N >= least_B[query_N])
    kept_N = kept_N[np.argsort(query_N[kept_N], kind="stable")]
    return Pairs(query_N[kept_N], row_N[kept_N], most_N[kept_N])


def _maxima(groups_BGS: np.ndarray) -> np.ndarray:
    """By torch where it is loaded: NumPy takes eight times as long."""
    torch = sys.modules.get("torch")
    return torch.from_numpy(groups_BGS).amax(dim=2).numpy() if torch else groups_BGS.max(axis=2)


def _pairs_reaching(
    groups_BGS: np.ndarray, maxima_BG: np.ndarray, bound_B: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and products, [N] each, of what is no less than its row's bound."""
    if groups_BGS.dtype == np.int32:
        bound_B = np.clip(np.ceil(bound_B), -(2**31), 2**31 - 1)
    bound_B = bound_B.astype(groups_BGS.dtype)
    groups, size = groups_BGS.shape[1:]
    group_N = np.flatnonzero(maxima_BG >= bound_B[:, None])
    near_NS, query_N = groups_BGS.reshape(-1, size).take(group_N, axis=0), group_N // groups
    place_M = np.flatnonzero(near_NS >= bound_B[query_N, None])
    nth_M, within_M = np.divmod(place_M, size)
    return query_N[nth_M], group_N[nth_M] % groups * size + within_M, near_NS.ravel()[place_M]
