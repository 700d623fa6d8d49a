"""Which pairs of query and passage may be among the best: what matrix products, which round, can say.

In float32 by NumPy, or in bfloat16 by torch where the machine multiplies that many times as fast: on CUDA, and on CPUs
with instructions for it. How far either may err is known; within that lie the best, which are scored one by one after.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

_GROUPS = 8  # of products for each of the k that are sought: the more, the fewer pass in vain, and the slower it is
_WORTH_TORCH = 1 << 25  # products of one block; a search has many blocks, or is over before torch is imported
_COMPARED = 1 << 20  # products at once, so that what comes of them stays in the cache


class Products(Protocol):
    """Products of queries with a block of P passages."""

    cells: int  # queries times passages that are held at once

    def reaching(self, queries_BD: np.ndarray, k: int, least_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pairs that may be among a query's k best in the block and score its `least` or more.

        Args:
            queries_BD: float32.
            least_B: float32, scores below which nothing matters; -inf where that is not known.

        Returns:
            Rows of queries and of passages, [N] each, in ascending order.
        """
        ...


def products(passages_PD: np.ndarray, queries: int) -> Products:
    """The fastest for a block (float32) and so many queries."""
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

    cells = 1 << 24  # 64 MB

    def __init__(self, passages_PD: np.ndarray) -> None:
        self._passages_PD = passages_PD
        self._norm = _norms(passages_PD).max()

    def reaching(self, queries_BD: np.ndarray, k: int, least_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        products_BP = queries_BD @ self._passages_PD.T
        off_B = _off_by_sums(queries_BD) * self._norm
        bound_B = least_B - off_B
        if _unknown(least_B, k, products_BP.shape[1]):
            maxima_BG = _in_groups(products_BP, k).max(axis=1)
            bound_B = np.maximum(bound_B, np.partition(maxima_BG, -k, axis=1)[:, -k] - 2 * off_B)
        return _rows_where(lambda own: products_BP[own] >= bound_B[own, None], products_BP.shape)


class Bfloat16:
    """By torch: three bits of float16's eleven are lost, so that about half as many pairs more pass the bound."""

    def __init__(self, passages_PD: np.ndarray, device: str) -> None:
        import torch

        self._torch: Any = torch
        self._device = torch.device(device)
        self.cells = 1 << (29 if self._device.type == "cuda" else 26)  # 1 GB, 128 MB
        given_PD = torch.from_numpy(passages_PD).to(self._device)
        self._passages_PD = given_PD.bfloat16()
        self._norm = float(given_PD.norm(dim=1).max())
        self._off = float((given_PD - self._passages_PD).norm(dim=1).max())
        self._room = torch.empty(0, dtype=torch.bfloat16, device=self._device)
        if self._device.type == "cuda":  # else a sum may be rounded on its way, too, which no bound below allows for
            torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False

    def reaching(self, queries_BD: np.ndarray, k: int, least_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        torch = self._torch
        rounded_BD = torch.from_numpy(queries_BD).to(self._device).bfloat16()
        products_BP = self._product(rounded_BD)
        # q p - q' p' = (q - q') p + q' (p - p'), and q' is longer than q by less than a hundredth.
        off_B = _norms(queries_BD - self._rounded(rounded_BD)) * self._norm + 1.01 * _norms(queries_BD) * self._off
        off_B += _off_by_sums(queries_BD) * self._norm
        bound_B = least_B - off_B
        if _unknown(least_B, k, products_BP.shape[1]):
            maxima_BG = _in_groups(products_BP, k).amax(dim=1)
            reached_B = self._rounded(maxima_BG.topk(k, dim=1).values[:, -1])
            # This product is itself a rounded one, by 2^-9 of it at most.
            bound_B = np.maximum(bound_B, reached_B - np.abs(reached_B) * 2.0**-8 - 2 * off_B)
        # Rounding keeps the order: what is no less than the bound, rounded, is no less than the rounded bound.
        bound_B1 = torch.from_numpy(bound_B).to(self._device).bfloat16()[:, None]
        if self._device.type == "cuda":
            found = (products_BP >= bound_B1).nonzero().cpu().numpy()
            return found[:, 0], found[:, 1]
        products, bound = self._comparable(products_BP, bound_B1)
        return _rows_where(lambda own: products[own] >= bound[own], products.shape)

    def _product(self, queries_BD: Any) -> Any:
        """Into the same memory each time: what is new costs as much as the product that is written there."""
        shape = len(queries_BD), len(self._passages_PD)
        if self._room.numel() < shape[0] * shape[1]:
            self._room = self._room.new_empty(shape[0] * shape[1])
        into = self._room[: shape[0] * shape[1]].view(shape)
        return self._torch.mm(queries_BD, self._passages_PD.T, out=into)

    def _comparable(self, products_BP: Any, bound_B1: Any) -> tuple[np.ndarray, np.ndarray]:
        """For NumPy, which compares many times as fast but lacks bfloat16: its bits, which order what is positive."""
        if bool((bound_B1 <= 0).any()):
            return products_BP.float().numpy(), bound_B1.float().numpy()
        bits = self._torch.int16
        return products_BP.view(bits).numpy(), bound_B1.view(bits).numpy()

    @staticmethod
    def _rounded(values: Any) -> np.ndarray:
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


def _rows_where(holds: Callable[[slice], np.ndarray], shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    step = max(1, _COMPARED // shape[1])
    starts = range(0, shape[0], step)
    found = [np.flatnonzero(holds(slice(start, start + step))) + start * shape[1] for start in starts]
    return np.divmod(np.concatenate(found), shape[1])
