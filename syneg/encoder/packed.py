"""Batches without padding, for CUDA: all texts in one row, each attending to itself only.

sentence-transformers does so where the flash-attn package was compiled. PyTorch's own attention over jagged tensors
takes the same kernels, with dropout and in every precision, and its slow path on a CPU is what tests compare.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

_ATTENTION = "syneg_packed"

# Kinds of model that are known to tell positions by embeddings alone.
KINDS = ("bert", "camembert", "roberta", "xlm-roberta")


def install(model: SentenceTransformer) -> int | None:
    """Has `model` take what `features` gives, in place; padded batches are taken as before.

    Returns:
        The position of a text's first token, or None where this kind of model is not known to allow it.
    """
    transformer: Any = model[0]
    config = transformer.config
    if config.model_type not in KINDS or config.is_decoder or not isinstance(model[1], Pooling):
        return None
    transformer.auto_model.set_attn_implementation(_ATTENTION)
    if transformer.model_forward_params is not None:
        transformer.model_forward_params |= {"cu_seq_lens_q", "max_length_q", "seq_idx"}
    return 0 if config.model_type == "bert" else config.pad_token_id + 1  # RoBERTa and its relatives count from there


def compile_layers(model: SentenceTransformer) -> None:
    """Has torch.compile fuse what is between a layer's matrix products. TORCH_COMPILE_DISABLE=1 forbids it."""
    transformer: Any = model[0]
    for layer in transformer.auto_model.encoder.layer:
        layer.compile(dynamic=True)


def features(ids: Sequence[list[int]], first_position: int) -> dict[str, Any]:
    """N texts of T tokens together, named as transformers and the pooling of sentence-transformers expect it."""
    lengths_N = np.fromiter(map(len, ids), np.int64, len(ids))
    starts_N = np.cumsum(lengths_N) - lengths_N
    tokens_T = np.fromiter(chain.from_iterable(ids), np.int64, int(lengths_N.sum()))
    text_T = np.repeat(np.arange(len(ids)), lengths_N)
    positions_T = np.arange(len(tokens_T)) - starts_N[text_T] + first_position
    return {
        "input_ids": torch.from_numpy(tokens_T).unsqueeze(0),
        "position_ids": torch.from_numpy(positions_T).unsqueeze(0),
        "seq_idx": torch.from_numpy(text_T).unsqueeze(0),
        "cu_seq_lens_q": torch.from_numpy(np.append(starts_N, len(tokens_T))),  # where each text begins
        "max_length_q": int(lengths_N.max()),
    }


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
    """What transformers calls: query, key, value [1, heads, T, D] of packed texts, or of padded ones [N, heads, L, D].

    Returns [1, T, heads, D], or [N, L, heads, D].
    """
    if others.get("cu_seq_lens_q") is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **others)
    jagged = [
        torch.nested.nested_tensor_from_jagged(
            values[0].transpose(0, 1), others["cu_seq_lens_q"], min_seqlen=1, max_seqlen=others["max_length_q"]
        ).transpose(1, 2)
        for values in (query, key, value)
    ]
    attended = scaled_dot_product_attention(*jagged, dropout_p=dropout, scale=scaling)
    return attended.transpose(1, 2).values().unsqueeze(0), None


def _mask(*arguments: Any, attention_mask: Tensor | None = None, **others: Any) -> Tensor | None:
    """None for packed texts, whose mask would be the square of all their tokens."""
    return None if attention_mask is None else sdpa_mask(*arguments, attention_mask=attention_mask, **others)


AttentionInterface.register(_ATTENTION, _attention)
AttentionMaskInterface.register(_ATTENTION, _mask)
