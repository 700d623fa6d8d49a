"""Dropout for training on a CPU, where drawing masks takes PyTorch an eighth of a step.

PyTorch draws a number for every element; here sixteen bits decide, four elements from one draw, so p is met within
1/65,536. They come from PyTorch's own generator, so that gradient caching and checkpoints of activations replay them.
On CUDA nothing is changed: its kernels draw while they compute.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from syneg.encoder.encoder import Encoder

_ATTENTION = "syneg_dropout"
_VALUES = 1 << 16


def install(encoder: Encoder) -> None:
    """Changes the dropout of `encoder`, in place; its weights and what it saves stay as they are."""
    for module in list(encoder.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, _Dropout(child.p))
        if isinstance(module, PreTrainedModel) and _drops_attention(module):
            module.set_attn_implementation(_ATTENTION)


def dropped(values: Tensor, p: float) -> Tensor:
    """`values` with every element 0 with the probability p, and 1 / (1 - p) times itself otherwise."""
    bits = torch.empty((values.numel() + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    drop = bits.view(torch.int16)[: values.numel()] < round(p * _VALUES) - _VALUES // 2
    return (values * (1 / (1 - p))).masked_fill_(drop.view(values.shape), 0.0)


class _Dropout(nn.Dropout):
    def forward(self, input: Tensor) -> Tensor:
        return dropped(input, self.p) if self.training and self.p else input


def _drops_attention(model: PreTrainedModel) -> bool:
    """BERT and its relatives: attention as PyTorch computes it, with dropout between softmax and product."""
    config = model.config
    return config._attn_implementation == "sdpa" and bool(getattr(config, "attention_probs_dropout_prob", 0.0))


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """What transformers calls: query, key and value [N, heads, L, D], the mask true where there is a token.

    Returns [N, L, heads, D].
    """
    if not dropout or any(others.get(name) is not None for name in ("position_bias", "softcap")):
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **others)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = (query * scale) @ key.transpose(2, 3)
    if attention_mask is not None:
        scores = scores.masked_fill_(~attention_mask, -torch.inf)
    return (dropped(scores.softmax(dim=-1), dropout) @ value).transpose(1, 2).contiguous(), None


AttentionInterface.register(_ATTENTION, _attention)
AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
