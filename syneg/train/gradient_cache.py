"""Batches larger than memory with the gradient of the whole batch (gradient caching, Gao et al., arXiv 2101.06983).

1. Every chunk is encoded without a graph; the random state before each is kept.
2. The loss over all vectors gives the gradient of each vector.
3. Every chunk is encoded again from the same random state, so that dropout drops the same, and the vectors' gradients
   are carried on into the weights.

Peak memory is that of one chunk and of the vectors. The price is a second forward pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from syneg.encoder.encoder import Features

Loss = Callable[[Tensor], Tensor]  # all vectors [T, D], in the order of the chunks, to a scalar


class Trainee(Protocol):
    """Where gradients gather: a plain module, or an engine that spreads them over processes."""

    def encode(self, features: Features) -> Tensor:
        """Vectors [N, D] with a graph."""
        ...

    def encode_without_graph(self, features: Features) -> Tensor:
        """The same vectors [N, D], for the pass whose graph nobody needs."""
        ...

    def backward(self, loss: Tensor, last: bool) -> None:
        """Adds the gradients of `loss`. `last` says that no other call follows in this step."""
        ...


@dataclass(frozen=True)
class PlainTrainee:
    """One process, no engine: gradients gather in the parameters."""

    module: nn.Module

    def encode(self, features: Features) -> Tensor:
        return self.module(features)

    def encode_without_graph(self, features: Features) -> Tensor:
        return self.module(features)

    def backward(self, loss: Tensor, last: bool) -> None:
        loss.backward()


def backward_whole(trainee: Trainee, chunks: Sequence[Features], loss: Loss, last: bool) -> None:
    """The plain way: all chunks in one graph. For what fits in memory at once."""
    trainee.backward(loss(torch.cat([trainee.encode(chunk) for chunk in chunks])), last)


def backward_cached(trainee: Trainee, chunks: Sequence[Features], loss: Loss, calls: int) -> None:
    """Adds the gradients of `loss` over the vectors of all `chunks`, encoding one chunk at a time.

    `calls` is how often `backward` is called, at least once a chunk. Under ZeRO 2 every call is a collective one, so
    all ranks must make the same number: who has fewer chunks adds calls that change nothing.
    """
    states, vectors = [], []
    with torch.no_grad():
        for chunk in chunks:
            states.append(_RandomState())
            vectors.append(trainee.encode_without_graph(chunk))
    vectors_TD = torch.cat(vectors).requires_grad_()
    (gradients_TD,) = torch.autograd.grad(loss(vectors_TD), vectors_TD)
    gradients = gradients_TD.split([len(chunk_ND) for chunk_ND in vectors])
    after = _RandomState()
    for call in range(calls):
        row = min(call, len(chunks) - 1)
        gradient_ND = gradients[row] if call < len(chunks) else torch.zeros_like(gradients[row])
        states[row].restore()
        trainee.backward((trainee.encode(chunks[row]) * gradient_ND).sum(), last=call == calls - 1)
    after.restore()


class _RandomState:
    """What dropout draws from, on the CPU and on the current CUDA device."""

    def __init__(self) -> None:
        self._cpu = torch.get_rng_state()
        self._cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None

    def restore(self) -> None:
        torch.set_rng_state(self._cpu)
        if self._cuda is not None:
            torch.cuda.set_rng_state(self._cuda)
