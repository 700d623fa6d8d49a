"""Training without DeepSpeed: AdamW on every worker, gradients averaged by one sum over the workers a step."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from syneg.encoder.encoder import Encoder
from syneg.settings.train import TrainConfig
from syneg.train.gradient_cache import PlainTrainee
from syneg.train.peers import Peers
from syneg.train.trainable import MOMENTS, learning


@dataclass(frozen=True)
class PlainEngine(PlainTrainee):
    """What `engine.Engine` does, in the same order of calls. Every worker holds the whole state of the optimiser."""

    encoder: Encoder
    optimizer: torch.optim.Optimizer
    clipping: float
    peers: Peers

    @classmethod
    def start(
        cls, encoder: Encoder, optimizer: torch.optim.Optimizer, train: TrainConfig, peers: Peers
    ) -> "PlainEngine":
        return cls(encoder, encoder, optimizer, train.gradient_clipping, peers)

    def step(self, learning_rate: float) -> float:
        """Clips, updates the weights, clears the gradients. Returns the gradients' norm before clipping."""
        weights = [*learning(self.encoder).values()]
        for weight in weights:
            # One that no loss reaches on this worker may be reached on another, and all have to sum the same.
            gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad
            weight.grad = self.peers.total(gradient).div_(self.peers.workers)
        norm = torch.nn.utils.clip_grad_norm_(weights, self.clipping)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate * group.get("scale", 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(norm)

    def moments(self) -> Iterator[tuple[str, Tensor]]:
        """As `engine.Engine.moments`; nothing is gathered."""
        for name, weight in learning(self.encoder).items():
            for key in MOMENTS:
                yield f"{key}/{name}", self.optimizer.state[weight][key].to("cpu", torch.float32, copy=True)

    def restore_moments(self, moments: Mapping[str, Tensor], steps: int) -> None:
        """Puts back what `moments` gave after `steps` steps."""
        for name, weight in learning(self.encoder).items():
            state = {key: moments[f"{key}/{name}"].to(weight.device, copy=True) for key in MOMENTS}
            self.optimizer.state[weight] = {"step": torch.tensor(float(steps)), **state}
