"""DeepSpeed: gradients averaged over the workers, optimiser state shared out by ZeRO. The one module that knows it."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from syneg.encoder.encoder import Encoder, Features
from syneg.settings.train import TrainConfig
from syneg.train.trainable import MOMENTS, learning


def settings(train: TrainConfig) -> dict[str, Any]:
    """DeepSpeed's own config. Clipping is always stated: left out, DeepSpeed clips at 1.0 without a word."""
    return {
        # Counted in calls of forward and backward, not in texts: our loss is a mean over the whole step already.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": train.gradient_clipping,
        "zero_optimization": {"stage": train.zero_stage},
        "zero_allow_untested_optimizer": True,  # torch's own optimisers, which ZeRO merely wraps
        "steps_per_print": 2**31,
    }


@dataclass(frozen=True)
class Engine:
    """A DeepSpeed engine in the order of calls under which gradient caching is right (a `Trainee`).

    Any number of `backward`, each after its `encode`; the last one says so; then one `step`.
    """

    engine: Any
    encoder: Encoder

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
        return cls(engine, encoder)

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
            group["lr"] = learning_rate * group.get("scale", 1.0)
        own_norm = self._norm() if self._without_zero else None
        self.engine.step()
        return float(self.engine.get_global_grad_norm() if own_norm is None else own_norm)

    def moments(self) -> Iterator[tuple[str, Tensor]]:
        """Adam's state after a step, as "exp_avg/WEIGHT" and float32 tensors on the CPU in the shape of the weight.

        Gathered from all ranks, one tensor at a time: every rank must go through all of them. What comes out does not
        depend on the number of ranks or the stage of ZeRO.
        """
        from deepspeed.utils import safe_get_full_optimizer_state

        self._link_state()
        for name, weight in learning(self.encoder).items():
            for key in MOMENTS:
                if self._without_zero:
                    state = self.engine.optimizer.state[weight]
                    moment = state.get(key, torch.zeros_like(weight))  # a weight that no loss reaches has none
                else:
                    moment = cast(Tensor, safe_get_full_optimizer_state(weight, key))
                yield (
                    f"{key}/{name}",
                    moment.detach().to("cpu", torch.float32, copy=True),
                )  # without ZeRO it is the live one

    def restore_moments(self, moments: Mapping[str, Tensor], steps: int) -> None:
        """Puts back what `moments` gave after `steps` steps. The weights must be in the encoder already at `start`."""
        from deepspeed.utils import safe_set_full_optimizer_state

        optimizer = self.engine.basic_optimizer
        self._make_state(optimizer)
        for name, weight in learning(self.encoder).items():
            for key in MOMENTS:
                moment = moments[f"{key}/{name}"].to(weight.device)
                if self._without_zero:
                    optimizer.state[weight][key].copy_(moment)
                else:
                    safe_set_full_optimizer_state(weight, moment, key)
        for state in optimizer.state.values():
            state["step"].fill_(steps)

    def _make_state(self, optimizer: torch.optim.Optimizer) -> None:
        """There is no state before the first step: one without gradients at rate 0 makes it and changes nothing."""
        for group in optimizer.param_groups:
            group["lr"] = 0.0
            for weight in group["params"]:
                weight.grad = torch.zeros_like(weight)
        optimizer.step()
        for group in optimizer.param_groups:
            for weight in group["params"]:
                weight.grad = None
        self._link_state()

    def _link_state(self) -> None:
        """Tells every weight where its part of the state lies.

        DeepSpeed 0.19.8 does so by itself after the first group of weights has taken its first step, when those of the
        other groups do not have any yet.
        """
        if not self._without_zero:
            self.engine.optimizer._hp_optimizer_states_linked = False
            self.engine.optimizer._lazy_init_hp_params_optimizer_state()

    @property
    def _without_zero(self) -> bool:
        return self.engine.zero_optimization_stage() == 0

    def _norm(self) -> Tensor:
        """Without ZeRO DeepSpeed clips by the norm but does not keep it."""
        return torch.nn.utils.get_total_norm([w.grad for w in self.engine.module.parameters() if w.grad is not None])
