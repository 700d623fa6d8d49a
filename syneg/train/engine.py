"""DeepSpeed: gradients averaged over the workers, optimiser state shared out by ZeRO. The one module that knows it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from syneg.encoder.encoder import Encoder, Features
from syneg.settings.train import TrainConfig


def settings(train: TrainConfig) -> dict[str, Any]:
    """DeepSpeed's own config. Clipping is always stated: left out, DeepSpeed clips at 1.0 without a word."""
    return {
        # Counted in calls of forward and backward, not in texts: our loss is a mean over the whole step already.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": train.gradient_clipping,
        "zero_optimization": {"stage": train.zero_stage},
        "bf16": {"enabled": train.dtype == "bfloat16"},
        "zero_allow_untested_optimizer": True,  # torch's own optimisers, which ZeRO merely wraps
        "steps_per_print": 2**31,
    }


def adamw(encoder: Encoder, train: TrainConfig) -> torch.optim.Optimizer:
    """AdamW; biases and layer norms, the vectors among the parameters, do not decay."""
    weights = [weight for weight in encoder.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": train.weight_decay},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=train.learning_rate)


@dataclass(frozen=True)
class Engine:
    """A DeepSpeed engine in the order of calls under which gradient caching is right (a `Trainee`).

    Any number of `backward`, each after its `encode`; the last one says so; then one `step`.
    """

    engine: Any

    @classmethod
    def start(cls, encoder: Encoder, optimizer: torch.optim.Optimizer, train: TrainConfig) -> "Engine":
        """Joins the process group of torch.distributed, which must be up. Wraps the encoder where it is."""
        on_cpu = encoder.device.type == "cpu"
        if on_cpu:
            os.environ["DS_ACCELERATOR"] = "cpu"
        import deepspeed  # after the accelerator was named: it looks once, when it is imported
        import deepspeed.ops

        if on_cpu:
            # Else it looks for a compiler and builds a C++ all-reduce through shared memory, for a minute or more.
            deepspeed.ops.__dict__["__compatible_ops__"] = {}
        deepspeed.init_distributed(dist_backend="gloo" if on_cpu else "nccl")
        engine, *_ = deepspeed.initialize(model=encoder, optimizer=optimizer, config=settings(train))
        return cls(engine)

    def encode(self, features: Features) -> Tensor:
        return self.engine(features)

    def encode_without_graph(self, features: Features) -> Tensor:
        return self.engine.module(features)

    def backward(self, loss: Tensor, last: bool) -> None:
        self.engine.set_gradient_accumulation_boundary(last)
        self.engine.backward(loss, scale_wrt_gas=False)

    def step(self, learning_rate: float) -> float:
        """Clips, updates the weights, clears the gradients. Returns the gradients' norm before clipping."""
        for group in self.engine.optimizer.param_groups:
            group["lr"] = learning_rate
        own_norm = self._norm() if self.engine.zero_optimization_stage() == 0 else None
        self.engine.step()
        return float(self.engine.get_global_grad_norm() if own_norm is None else own_norm)

    def _norm(self) -> Tensor:
        """Without ZeRO DeepSpeed clips by the norm but does not keep it."""
        return torch.nn.utils.get_total_norm(list(self._gradients()))

    def _gradients(self) -> Iterator[Tensor]:
        return (weight.grad for weight in self.engine.module.parameters() if weight.grad is not None)
