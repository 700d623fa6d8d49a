"""Products on a CPU: in float32 by NumPy, or in 8-bit integers by torch."""

import math
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from syneg.search import threads
from syneg.search.bounds import ALLOWANCE, Pairs, norms, off_by_sums
from syneg.search.tiles import GROUP, TILE_ROWS, Queries, Tile, dealt, reaching

_QUERIES = 512  # 16 MB of products of a tile
_SAMPLE = 4_096  # passages that the mean is taken of


class Float32:
    """`Products` by NumPy."""

    queries = _QUERIES

    def __init__(self, passages_PD: np.ndarray) -> None:
        self.threads = threads.allowed()
        rows = dealt(np.arange(len(passages_PD)))
        order_P = np.concatenate(rows)
        self._passages_PD, self._place_P = passages_PD[order_P].astype(np.float32), np.argsort(order_P)
        self._norm = float(norms(self._passages_PD).max())
        parts = np.split(self._passages_PD, np.cumsum([len(row_P) for row_P in rows])[:-1])
        self._tiles = [
            Tile(row_P, own_PD, np.ones(len(row_P)), np.zeros(len(row_P)))
            for row_P, own_PD in zip(rows, parts, strict=True)
        ]
        self._products, self._taken = (_Room(partial(np.empty, dtype=np.float32)) for _ in range(2))

    def vectors(self, row_N: np.ndarray) -> np.ndarray:
        return _taken(self._passages_PD, self._place_P[row_N], self._taken)

    def reaching(self, queries_BD: np.ndarray, k: int, least_B: np.ndarray, sure: bool) -> Pairs:
        lost_B = off_by_sums(queries_BD, self._norm)
        queries = Queries(np.ones_like(lost_B), np.zeros_like(lost_B), lost_B, np.zeros_like(lost_B), mostly=1)

        def multiplied(passages_PD: np.ndarray) -> np.ndarray:
            room_BP = self._products.of(len(queries_BD), len(passages_PD))
            return np.matmul(queries_BD, passages_PD.T, out=room_BP)

        return reaching(self._tiles, multiplied, queries, k, least_B, sure)


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
        for first in range(0, len(passages_PD), TILE_ROWS):
            own = slice(first, first + TILE_ROWS)
            away_PD = self._floats(own).sub_(self._mean_D)
            self._spread = max(self._spread, float(away_PD.norm(dim=1).max()))
            largest_P[own] = away_PD.abs_().amax(dim=1)
        self._norm = self._spread + float(self._mean_D.norm())
        self._tiles = [self._tile(row_P, largest_P.numpy()[row_P]) for row_P in dealt(largest_P.argsort().numpy())]
        self._products = _Room(partial(torch.empty, dtype=torch.int32))
        self._taken, self._vectors = _Room(partial(np.empty, dtype=passages_PD.dtype)), _Room(torch.empty)

    def _floats(self, rows: "slice | np.ndarray") -> Any:
        return self._torch.from_numpy(self._passages_PD[rows].copy()).float()  # torch warns of what is read-only

    def _tile(self, row_P: np.ndarray, largest_P: np.ndarray) -> Tile:
        """Vectors as int8; off is how far one of its group is from its steps at most."""
        step_P = _step(_largest_of_group(largest_P))
        step_P1, away_PD = self._torch.from_numpy(step_P)[:, None], self._floats(row_P).sub_(self._mean_D)
        rounded_PD = (away_PD / step_P1).round_()
        off_P = _largest_of_group(away_PD.sub_(rounded_PD * step_P1).norm(dim=1).numpy())
        return Tile(row_P, rounded_PD.to(self._torch.int8), step_P, off_P)

    def vectors(self, row_N: np.ndarray) -> np.ndarray:
        given_ND = _taken(self._passages_PD, row_N, self._taken)
        return self._vectors.of(*given_ND.shape).copy_(self._torch.from_numpy(given_ND)).numpy()  # NumPy takes longer

    def reaching(self, queries_BD: np.ndarray, k: int, least_B: np.ndarray, sure: bool) -> Pairs:
        unit_B = _step(np.abs(queries_BD).max(axis=1).astype(np.float64))  # as squares they must not vanish
        rounded_BD = np.rint(queries_BD / unit_B[:, None])
        kept_BD = rounded_BD * unit_B[:, None]
        # q (p - m) - q' p' = (q - q') (p - m) + q' (p - m - p')
        lost_B = ALLOWANCE * norms(queries_BD - kept_BD) * self._spread + off_by_sums(queries_BD, self._norm)
        queries = Queries(
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

        return reaching(self._tiles, multiplied, queries, k, least_B, sure)


def _step(largest: Any) -> Any:
    return np.maximum(largest, 1e-30) / 127


def _largest_of_group(values_P: np.ndarray) -> np.ndarray:
    starts = np.arange(0, len(values_P), GROUP)
    return np.repeat(np.maximum.reduceat(values_P, starts), GROUP)[: len(values_P)]


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
