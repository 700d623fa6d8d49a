"""Products in bfloat16 on CUDA, which loses three bits of float16's eleven."""

from typing import Any

import numpy as np
import torch

from syneg.search.bounds import ALLOWANCE, Pairs, norms, off_by_sums

_GROUPS = 8  # of products for each of the k that are sought: the more, the fewer pass in vain
_ROUNDING = 2.0**-8  # of a product; by half of that at most


class Bfloat16:
    """`Products` that are always sure: whether they have to be is not asked."""

    threads = 1

    def __init__(self, passages_PD: np.ndarray, device: str = "cuda") -> None:
        self.queries = max(1, (1 << 29) // len(passages_PD))  # 1 GB of products
        self._device = torch.device(device)
        self._passages_PD = passages_PD
        given_PD = torch.from_numpy(passages_PD.copy()).to(self._device).float()  # torch warns of what is read-only
        self._rounded_PD = given_PD.bfloat16()
        self._norm = float(given_PD.norm(dim=1).max())
        self._off = float(given_PD.sub_(self._rounded_PD).norm(dim=1).max())
        # Else a sum may be rounded on its way, too, which no bound below allows for.
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False

    def vectors(self, row_N: np.ndarray) -> np.ndarray:
        return self._passages_PD[row_N].astype(np.float32)

    def reaching(self, queries_BD: np.ndarray, k: int, least_B: np.ndarray, sure: bool) -> Pairs:
        rounded_BD = torch.from_numpy(queries_BD).to(self._device).bfloat16()
        products_BP = rounded_BD @ self._rounded_PD.T
        # q p - q' p' = (q - q') p + q' (p - p'), and q' is longer than q by less than a hundredth.
        off_B = norms(queries_BD - _floats(rounded_BD)) * self._norm + 1.01 * norms(queries_BD) * self._off
        off_B = ALLOWANCE * off_B + off_by_sums(queries_BD, self._norm)
        floor_B = least_B.astype(np.float64)
        if products_BP.shape[1] >= k and np.isneginf(least_B).any():
            reached_B = _kth_maximum(products_BP, k)
            floor_B = np.maximum(floor_B, reached_B - np.abs(reached_B) * _ROUNDING - off_B)
        # Rounding keeps the order: what is no less than the bound, rounded, is no less than the rounded bound.
        bound_B1 = torch.from_numpy(floor_B - off_B).to(self._device).bfloat16()[:, None]
        places_N2 = (products_BP >= bound_B1).nonzero()
        query_N, row_N = places_N2.cpu().numpy().T
        return Pairs(query_N, row_N, floor_B)


def _kth_maximum(products_BP: Any, k: int) -> np.ndarray:
    size = max(1, products_BP.shape[1] // (_GROUPS * k))
    maxima_BG = products_BP.unfold(1, size, size).amax(dim=2)
    return _floats(maxima_BG.topk(k, dim=1).values[:, -1])


def _floats(values: Any) -> np.ndarray:
    return values.float().cpu().numpy()
