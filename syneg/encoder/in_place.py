"""BERT's layers for inference on a CPU, which write over what they were given and nobody else asks for.

Memory that is new costs more than what is computed into it: a GELU ten times as much.
"""

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import GELUActivation

_KINDS = ("Bert", "Camembert", "Roberta", "XLMRoberta")


def install(model: nn.Module, config: Any) -> None:
    """In place. Passes with gradients, and models of other kinds, stay as they are."""
    if any(getattr(config, name, None) for name in ("is_decoder", "output_hidden_states", "chunk_size_feed_forward")):
        return
    for layer in model.modules():
        if type(layer).__name__ in {f"{kind}Layer" for kind in _KINDS}:
            own: Any = layer
            for added in (own.attention.output, own.output):
                added.forward = MethodType(_added, added)
            if isinstance(own.intermediate.intermediate_act_fn, GELUActivation):
                own.intermediate.forward = MethodType(_activated, own.intermediate)


def _activated(layer: Any, hidden_states: Tensor) -> Tensor:
    """[N, L, D] to [N, L, inner]."""
    if not _inference():
        return type(layer).forward(layer, hidden_states)
    return torch.ops.aten.gelu_(layer.dense(hidden_states))


def _added(layer: Any, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
    """LayerNorm(hidden_states W' + b + input_tensor), the sum in the place of input_tensor [N, L, D]."""
    if not _inference() or type(layer.dense) is not nn.Linear:  # an adapter's is not
        return type(layer).forward(layer, hidden_states, input_tensor)
    sum_TD = input_tensor.view(-1, input_tensor.shape[-1])
    sum_TD.add_(layer.dense.bias).addmm_(hidden_states.reshape(len(sum_TD), -1), layer.dense.weight.T)
    return layer.LayerNorm(input_tensor)


def _inference() -> bool:
    return torch.is_inference_mode_enabled() and not torch.is_autocast_enabled("cpu")
