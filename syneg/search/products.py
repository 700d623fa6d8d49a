"""Which passages may be among a query's best: what matrix products, which round, can say.

In float32 by NumPy; in 8-bit integers where a CPU has instructions for them, four times as fast; in bfloat16 on CUDA.
How far each may err is known; within that lie the best, which are scored one by one.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

_WORTH_TORCH = 1 << 25  # products of one block; a search has many blocks, or is over before torch is imported


class Pairs(NamedTuple):
    """N pairs of query and passage, in the order of queries."""

    query_N: np.ndarray  # rows
    passage_N: np.ndarray  # rows
    most_N: np.ndarray  # what they score at most


class Products(Protocol):
    """Products of queries with a block of passages."""

    queries: int  # that are best asked for at once
    threads: int  # how many may ask at once

    def vectors(self, row_N: np.ndarray) -> np.ndarray:
        """Of some passages: float32 [N, D], until the same thread asks again."""
        ...

    def reaching(self, queries_BD: np.ndarray, k: int, least_B: np.ndarray) -> Pairs:
        """The pairs that may be among a query's k best in the block and score its `least` or more.

        Args:
            queries_BD: float32.
            least_B: float32, scores below which nothing matters; -inf where that is not known.
        """
        ...


def block_rows(width: int) -> int:
    """Passages of `width` numbers that are searched at once: 256 MB as they are stored. The more, the fewer pass a
    bound that is low still."""
    return max(1, (1 << 28) // (2 * width))


def products(passages_PD: np.ndarray, queries: int) -> Products:
    """The fastest for a block (float16) and so many queries."""
    if on_cuda():
        from syneg.search.cuda import Bfloat16

        return Bfloat16(passages_PD)
    if queries * len(passages_PD) >= _WORTH_TORCH and _multiplies_int8():
        from syneg.search.tiles import Int8

        return Int8(passages_PD)
    from syneg.search.tiles import Float32

    return Float32(passages_PD)


@cache
def on_cuda() -> bool:
    """Whether there is a device. Where no driver is, torch, which takes seconds, is not imported to find out."""
    if not Path("/proc/driver/nvidia/version").exists():
        return False
    import torch

    return torch.cuda.is_available()


@cache
def _multiplies_int8() -> bool:
    processor = Path("/proc/cpuinfo")
    return processor.exists() and "avx512_vnni" in processor.read_text()
