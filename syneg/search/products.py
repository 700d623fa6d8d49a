"""The fastest products for a block of passages, of those that a machine has.

In float32 by NumPy; in 8-bit integers where a CPU has instructions for them, four times as fast; in bfloat16 on CUDA.
"""

from functools import cache
from pathlib import Path

import numpy as np

from syneg.search.bounds import Products
from syneg.search.cpu import Float32, Int8

_WORTH_TORCH = 1 << 25  # products of one block; a search has many blocks, or is over before torch is imported


def block_rows(width: int) -> int:
    """Passages of `width` numbers that are searched at once: 256 MB as they are stored. The more, the fewer pass a
    bound that is low still."""
    return max(1, (1 << 28) // (2 * width))


def products(passages_PD: np.ndarray, queries: int) -> Products:
    """The fastest for a block (float16) and this number of queries."""
    if on_cuda():
        from syneg.search.cuda import Bfloat16

        return Bfloat16(passages_PD)
    if queries * len(passages_PD) >= _WORTH_TORCH and _multiplies_int8():
        return Int8(passages_PD)
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
