"""Which pairs of query and passage may be among the best: what matrix products, which round, can say.

In float32 by NumPy, or in bfloat16 by torch where the machine multiplies that several times as fast: on CUDA, and on
CPUs with instructions for it. How far either may err is known; within that lie the best, which are scored one by one.
"""

import math
import threading
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from syneg.search import threads

_GROUPS = 8  # of products for each of the k that are sought: the more, the fewer pass in vain, and the slower it is
_WORTH_TORCH = 1 << 25  # products of one block; a search has many blocks, or is over before torch is imported
_CONVERTED_ROWS = 4_096
_COMPARED = 1 << 19  # products at once, so that what comes of them stays in the cache


class Products(Protocol):
    """Products of queries with a block of P passages."""

    cells: int  # queries times passages that one thread holds at once
    threads: int  # how many may ask at once

    def vectors(self, row_N: np.ndarray) -> np.ndarray:
        """Of some passages: float32 [N, D], until the same thread asks again."""
        ...

    def reaching(self, queries_BD: np.ndarray, k: int, least_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pairs that may be among a query's k best in the block and score its `least` or more.

        Args:
            queries_BD: float32.
            least_B: float32, scores below which nothing matters; -inf where that is not known.

        Returns:
            Rows of queries and of passages, [N] each, in ascending order.
        """
        ...


def block_rows(width: int) -> int:
    """Passages of `width` numbers that are best multiplied at once: 256 MB of the type that products take.

    The more, the fewer pass a bound that is low still. Parts of a table may hold a few hundred rows each, for which
    BLAS has no good shape.
    """
    return max(1, (1 << 28) // width // (2 if on_cuda() or _multiplies_bfloat16() else 4))


def products(passages_PD: np.ndarray, queries: int) -> Products:
    """The fastest for a block (float16) and so many queries."""
    if on_cuda():
        return Bfloat16(passages_PD, "cuda")
    if queries * len(passages_PD) >= _WORTH_TORCH and _multiplies_bfloat16():
        return Bfloat16(passages_PD, "cpu")
    return Float32(passages_PD)


@cache
def on_cuda() -> bool:
    """Whether there is a device. Where no driver is, torch, which takes seconds, is not imported to find out."""
    if not Path("/proc/driver/nvidia/version").exists():
        return False
    import torch

    return torch.cuda.is_available()


@cache
def _multiplies_bfloat16() -> bool:
    processor = Path("/proc/cpuinfo")
    return processor.exists() and "avx512_bf16" in processor.read_text()


class Float32:
    """By NumPy."""

    cells = 1 << 25  # 128 MB

    def __init__(self, passages_PD: np.ndarray) -> None:
        self.threads = threads.allowed()
        self._passages_PD = passages_PD.astype(np.float32)
        self._norm = _norms(self._passages_PD).max()
        self._products, self._taken = (_Room(partial(np.empty, dtype=np.float32)) for _ in range(2))

    def vectors(self, row_N: np.ndarray) -> np.ndarray:
        return _taken(self._passages_PD, row_N, self._taken)

    def reaching(self, queries_BD: np.ndarray, k: int, least_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        products_BP = self._products.of(len(queries_BD), len(self._passages_PD))
        np.matmul(queries_BD, self._passages_PD.T, out=products_BP)
        off_B = _off_by_sums(queries_BD) * self._norm
        bound_B = least_B - off_B
        if _unknown(least_B, k, products_BP.shape[1]):
            bound_B = np.maximum(bound_B, _kth_maximum(products_BP, k) - 2 * off_B)
        return _pairs_reaching(products_BP, bound_B)


class Bfloat16:
    """By torch: three bits of float16's eleven are lost, so that about half as many pairs more pass the bound."""

    def __init__(self, passages_PD: np.ndarray, device: str) -> None:
        import torch

        self._torch: Any = torch
        self._device = torch.device(device)
        self._cuda = self._device.type == "cuda"
        self.cells, self.threads = (1 << 29, 1) if self._cuda else (1 << 25, threads.allowed())  # 1 GB, 64 MB
        self._passages_PD = passages_PD
        self._rounded_PD = torch.empty(passages_PD.shape, dtype=torch.bfloat16, device=self._device)
        self._norm, self._off = 0.0, 0.0
        for start in range(0, len(passages_PD), _CONVERTED_ROWS):  # several times as fast as all at once
            own = slice(start, start + _CONVERTED_ROWS)
            given_BD = torch.from_numpy(passages_PD[own].copy()).float()  # torch warns of what it may not write
            self._rounded_PD[own] = given_BD
            self._norm = max(self._norm, float(given_BD.norm(dim=1).max()))
            self._off = max(self._off, float((given_BD - self._rounded_PD[own].cpu()).norm(dim=1).max()))
        self._products = _Room(partial(torch.empty, dtype=torch.bfloat16, device=self._device))
        self._taken, self._vectors = _Room(partial(np.empty, dtype=passages_PD.dtype)), _Room(torch.empty)
        if self._cuda:  # else a sum may be rounded on its way, too, which no bound below allows for
            torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False

    def vectors(self, row_N: np.ndarray) -> np.ndarray:
        given_ND = _taken(self._passages_PD, row_N, self._taken)
        return self._vectors.of(*given_ND.shape).copy_(self._torch.from_numpy(given_ND)).numpy()  # NumPy takes longer

    def reaching(self, queries_BD: np.ndarray, k: int, least_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rounded_BD = self._torch.from_numpy(queries_BD).to(self._device).bfloat16()
        products_BP = self._products.of(len(queries_BD), len(self._rounded_PD))
        self._torch.mm(rounded_BD, self._rounded_PD.T, out=products_BP)
        # q p - q' p' = (q - q') p + q' (p - p'), and q' is longer than q by less than a hundredth.
        off_B = _norms(queries_BD - _floats(rounded_BD)) * self._norm + 1.01 * _norms(queries_BD) * self._off
        off_B += _off_by_sums(queries_BD) * self._norm
        bound_B = least_B - off_B
        if _unknown(least_B, k, products_BP.shape[1]):
            reached_B = self._kth_maximum(products_BP, k)
            # This product is itself a rounded one, by 2^-9 of it at most.
            bound_B = np.maximum(bound_B, reached_B - np.abs(reached_B) * 2.0**-8 - 2 * off_B)
        # Rounding keeps the order: what is no less than the bound, rounded, is no less than the rounded bound.
        bound_B = self._torch.from_numpy(bound_B).bfloat16()
        if self._cuda:
            found = (products_BP >= bound_B.to(self._device)[:, None]).nonzero().cpu().numpy()
            return found[:, 0], found[:, 1]
        if bool((bound_B <= 0).any()):
            return _pairs_reaching(_floats(products_BP), _floats(bound_B))
        return _pairs_reaching(self._bits(products_BP), self._bits(bound_B))

    def _kth_maximum(self, products_BP: Any, k: int) -> np.ndarray:
        if self._cuda:
            return _floats(_in_groups(products_BP, k).amax(dim=1).topk(k, dim=1).values[:, -1])
        bits_B = _kth_maximum(self._bits(products_BP), k)
        if (bits_B < 0).any():
            return _kth_maximum(_floats(products_BP), k)
        return _floats(self._torch.from_numpy(bits_B).view(self._torch.bfloat16))

    def _bits(self, values: Any) -> np.ndarray:
        """For NumPy, which compares many times as fast as torch but lacks bfloat16. The bits, as integers, order what
        is positive, and put it above what is negative; among the negative the order is reversed."""
        return values.view(self._torch.int16).numpy()


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


def _floats(values: Any) -> np.ndarray:
    return values.float().cpu().numpy()


def _norms(vectors_ND: np.ndarray) -> np.ndarray:
    return np.sqrt(np.vecdot(vectors_ND, vectors_ND))


def _off_by_sums(queries_BD: np.ndarray) -> np.ndarray:
    """How far two sums of D products may lie apart, for passages of norm 1: each errs by D units of rounding at most
    (Higham 2002, 3.1)."""
    return (2 * queries_BD.shape[1] * 2.0**-24 * _norms(queries_BD)).astype(np.float32)


def _unknown(least_B: np.ndarray, k: int, passages: int) -> bool:
    return passages >= k and bool(np.isneginf(least_B).any())


def _in_groups(products_BP: Any, k: int) -> Any:
    """[B, size, groups]. At least k products reach the k-th best of the groups' maxima, which lies near to the k-th
    best of all and takes one pass where selecting from all takes many."""
    passages = products_BP.shape[1]
    size = max(1, passages // (_GROUPS * k))
    groups = passages // size
    return products_BP[:, : size * groups].reshape(len(products_BP), size, groups)


def _kth_maximum(products_BP: np.ndarray, k: int) -> np.ndarray:
    """[B], row by row: a copy for `reshape` would take longer than the maxima."""
    maxima_BG = np.concatenate([_in_groups(products_1P, k).max(axis=1) for products_1P in products_BP[:, None]])
    return np.partition(maxima_BG, -k, axis=1)[:, -k]


def _pairs_reaching(products_BP: np.ndarray, bound_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    queries, passages = products_BP.shape
    step = max(1, _COMPARED // passages)
    room, found = np.empty((step, passages), bool), list[np.ndarray]()
    for start in range(0, queries, step):
        own = slice(start, min(start + step, queries))
        reaches = np.greater_equal(products_BP[own], bound_B[own, None], out=room[: own.stop - start])
        found.append(start * passages + _places_of_true(reaches.ravel()))
    return np.divmod(np.concatenate(found), passages)


def _places_of_true(mask_N: np.ndarray) -> np.ndarray:
    """As `np.flatnonzero`, in a fifth of its time where few are true: eight at a time, as one number."""
    eights = len(mask_N) // 8
    some = np.flatnonzero(mask_N[: 8 * eights].view(np.uint64) != 0)
    nth, place = np.nonzero(mask_N[: 8 * eights].reshape(eights, 8)[some])
    return np.concatenate([8 * some[nth] + place, 8 * eights + np.flatnonzero(mask_N[8 * eights :])])
