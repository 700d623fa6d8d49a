"""The product of the dense search on a CUDA device, through torch."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

CELLS = 1 << 28  # products held at once on the device, 1 GB


@cache
def available() -> bool:
    """Whether there is a device. Where no driver is, torch, which takes seconds, is not imported to find out."""
    if not Path("/proc/driver/nvidia/version").exists():
        return False
    import torch

    return torch.cuda.is_available()


class Passages:
    """A block of passages on the device."""

    def __init__(self, passages_PD: np.ndarray, device: str = "cuda") -> None:
        import torch

        self._torch: Any = torch
        self._passages_PD = torch.from_numpy(passages_PD).to(device)
        self._device = device

    def reaching(
        self, queries_BD: np.ndarray, k: int, least_B: np.ndarray, rounding_B: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `dense.Look`. In float32: TF32 would round more than the bound allows for."""
        torch = self._torch
        queries, least, rounding = (
            torch.from_numpy(each).to(self._device) for each in (queries_BD, least_B, rounding_B)
        )
        products_BP = queries @ self._passages_PD.T
        bound = least - rounding
        if products_BP.shape[1] >= k and bool(least.isneginf().any()):
            bound = torch.maximum(bound, products_BP.topk(k, dim=1).values[:, -1] - 2 * rounding)
        found = (products_BP >= bound[:, None]).nonzero().cpu().numpy()
        return found[:, 0], found[:, 1]
