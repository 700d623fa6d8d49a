"""BERT's layers for inference on a CPU.

They compute in place: allocating costs more than the operation, for a GELU ten times as much. And where a CPU is AMD's,
oneDNN multiplies instead of MKL: on Zen 4 at 103 to 108 GFLOP/s a core instead of 91 to 96.
"""

from functools import cache
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import GELUActivation

from syneg.encoder.packed import KINDS


def install(model: nn.Module, config: Any) -> None:
    """In place. Passes that train or may have gradients, and models of other kinds, stay as they are."""
    asked_again = ("is_decoder", "output_hidden_states", "chunk_size_feed_forward")
    if config.model_type not in KINDS or any(getattr(config, name) for name in asked_again):
        return
    for layer in model.modules():
        if hasattr(layer, "attention") and hasattr(layer, "intermediate"):
            own: Any = layer
            for added in (own.attention.output, own.output):
                added.forward = MethodType(_added, added)
            if isinstance(own.intermediate.intermediate_act_fn, GELUActivation):
                own.intermediate.forward = MethodType(_activated, own.intermediate)
            for linear in layer.modules() if _mkl_is_slow() else ():
                if type(linear) is nn.Linear:
                    linear.forward = MethodType(_multiplied, linear)


def _activated(layer: Any, hidden_states: Tensor) -> Tensor:
    """[N, L, D] to [N, L, inner]."""
    if not _inference(layer):
        return type(layer).forward(layer, hidden_states)
    return torch.ops.aten.gelu_(layer.dense(hidden_states))


def _added(layer: Any, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
    """LayerNorm(hidden_states W' + b + input_tensor), the sum in the place of input_tensor [N, L, D]."""
    if not _inference(layer) or type(layer.dense) is not nn.Linear:  # an adapter's is not
        return type(layer).forward(layer, hidden_states, input_tensor)
    if _mkl_is_slow():
        return layer.LayerNorm(input_tensor.add_(layer.dense(hidden_states)))
    sum_TD = input_tensor.view(-1, input_tensor.shape[-1])
    sum_TD.add_(layer.dense.bias).addmm_(hidden_states.reshape(len(sum_TD), -1), layer.dense.weight.T)
    return layer.LayerNorm(input_tensor)


def _multiplied(linear: nn.Linear, given: Tensor) -> Tensor:
    """given W' + b by oneDNN, through the operator that torch.compile takes for it."""
    if not _inference(linear) or type(linear) is not nn.Linear or given.dtype is not torch.float32:
        return type(linear).forward(linear, given)
    return torch.ops.mkldnn._linear_pointwise(given, linear.weight, linear.bias, "none", [], "")


def _inference(layer: nn.Module) -> bool:
    """Without dropout, without gradients, in one precision, and not for torch.compile, which does the same its way."""
    apart = layer.training or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling()
    return torch.is_inference_mode_enabled() and not apart


@cache
def _mkl_is_slow() -> bool:
    """Whether the CPU is AMD's, for which MKL does not choose its best."""
    processor = Path("/proc/cpuinfo")
    has_both = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
    return has_both and processor.exists() and "AuthenticAMD" in processor.read_text()
