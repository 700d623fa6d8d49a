"""Batches larger than memory with the gradient of the whole batch (gradient caching, Gao et al., arXiv 2101.06983).

1. Every chunk is encoded without a graph; the random state before each is kept. The last chunks, as many as one chunk
   may be large, are encoded with a graph, which is what the third step would build for them anyway.
2. The loss over all vectors gives the gradient of each vector.
3. The vectors' gradients are carried on into the weights: through the graph that is there, then through every other
   chunk, encoded again from the same random state, so that dropout drops the same.

Peak memory is that of one chunk and of the vectors. The price is a second forward pass of all chunks but the last.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from syneg.encoder.encoder import Features

# All vectors [T, D], in the order of the chunks and without a graph, to the gradient of each.
Gradients = Callable[[Tensor], Tensor]


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


def backward_cached(
    trainee: Trainee, chunks: Sequence[Features], kept: int, gradients: Gradients, calls: int, last: bool = True
) -> None:
    """Adds to the weights what `gradients` gives to the vectors of all `chunks`.

    Args:
        trainee: encodes the chunks and gathers the gradients.
        chunks: at least one.
        kept: how many of the last chunks keep the graph of the first pass, at least 1; all: no second pass.
        gradients: is called once.
        calls: how often `backward` is called, at least 1 + len(chunks) - kept. Under ZeRO 2 every call is a collective
            one, so all ranks must make the same number: who has fewer chunks adds calls that change nothing.
        last: whether the step ends with these calls.
    """
    again = len(chunks) - kept
    states, vectors = [], []
    with torch.no_grad():
        for chunk in chunks[:again]:
            states.append(_RandomState())
            vectors.append(trainee.encode_without_graph(chunk))
    tail_ND = torch.cat([trainee.encode(chunk) for chunk in chunks[again:]])
    after = _RandomState()
    vectors_TD = torch.cat([*vectors, tail_ND.detach()])
    parts = gradients(vectors_TD).to(vectors_TD.dtype).split([*map(len, vectors), len(tail_ND)])
    trainee.backward((tail_ND * parts[-1]).sum(), last and calls == 1)
    del tail_ND  # and with it the graph
    for call in range(1, calls):
        row = min(call, again) - 1  # -1: there is nothing to encode again, so the last chunk stands in
        idle = call > again
        if row >= 0:
            states[row].restore()
        vectors_ND = trainee.encode(chunks[row])
        gradient_ND = torch.zeros_like(vectors_ND) if idle else parts[row]
        trainee.backward((vectors_ND * gradient_ND).sum(), last and call == calls - 1)
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
