"""The passages of all workers as negatives for each."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather_rows(rows_ND: Tensor, counts: Sequence[int]) -> Tensor:
    """The rows of all ranks, rank by rank: [sum(counts), D]. `counts` are the rows of each rank, known to all.

    Backward gives each rank the gradient of its own rows, summed over the losses of all ranks.
    """
    gathered: Any = _GatherRows.apply(rows_ND, tuple(counts))
    return gathered


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows_ND: Tensor, counts: tuple[int, ...]) -> Tensor:
        ctx.counts = counts
        # Collectives want one shape: every rank is filled up to the longest.
        padded = rows_ND.new_zeros(max(counts), rows_ND.shape[1])
        padded[: len(rows_ND)] = rows_ND
        received = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(received, padded)
        return torch.cat([rows[:count] for rows, count in zip(received, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        summed = gradients[0].contiguous()
        dist.all_reduce(summed)
        return summed.split(ctx.counts)[dist.get_rank()], None
