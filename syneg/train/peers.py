"""What the workers of a step tell each other. With one worker nothing is sent."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Peers:
    """This worker among all."""

    rank: int = 0
    workers: int = 1

    def counts(self, own: int, device: torch.device) -> list[int]:
        """`own` of each worker, by rank."""
        if self.workers == 1:
            return [own]
        received = torch.zeros(self.workers, dtype=torch.int64, device=device)
        received[self.rank] = own
        dist.all_reduce(received)
        return received.tolist()

    def all_rows(self, rows_ND: Tensor, counts: Sequence[int]) -> Tensor:
        """The rows of all workers, rank by rank: [sum(counts), D]. `counts` are the rows of each, known to all."""
        if self.workers == 1:
            return rows_ND
        # Collectives want one shape: every rank is filled up to the longest.
        padded = rows_ND.new_zeros(max(counts), rows_ND.shape[1])
        padded[: len(rows_ND)] = rows_ND
        received = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(received, padded)
        return torch.cat([rows[:count] for rows, count in zip(received, counts, strict=True)])

    def own_sum(self, rows_AD: Tensor, counts: Sequence[int]) -> Tensor:
        """This worker's slice of the sum of `rows_AD` over the workers: the way back of `all_rows` for gradients."""
        if self.workers == 1:
            return rows_AD
        summed = rows_AD.contiguous()
        dist.all_reduce(summed)
        return summed.split(list(counts))[self.rank]

    def total(self, values_N: Tensor) -> Tensor:
        """The sum [N] over the workers."""
        if self.workers > 1:
            dist.all_reduce(values_N)
        return values_N
