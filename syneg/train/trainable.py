"""Which of an encoder's weights learn, how fast each, and in which precision it computes."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from syneg.encoder import dropout
from syneg.encoder.encoder import Encoder
from syneg.errors import BadInput

if TYPE_CHECKING:
    from syneg.settings.train import LoraConfig, TrainConfig

_LAYER = re.compile(r"\.(?:layers?|h|blocks?)\.(\d+)\.")  # of BERT and its kin: encoder.layer.3.attention...


def prepare(encoder: Encoder, train: "TrainConfig") -> None:
    """Makes of `encoder` what `train` asks for, in place: frozen layers, adapters, activation checkpointing,
    its precision. On a CPU its dropout draws faster.

    Raises:
        BadInput: the model has nothing that could learn under these settings.
    """
    if train.trained_layers is not None:
        _freeze(encoder, train.trained_layers)
    if train.lora is not None:
        _add_adapters(encoder, train.lora, train.seed)
    if train.dtype == "bfloat16":
        # Not the weights: gradients of many chunks are summed, which in bfloat16 would lose those that come late.
        encoder.autocast = torch.bfloat16
    if train.activation_checkpointing:
        _transformer(encoder).activation_checkpointing_enable()
    if encoder.device.type == "cpu":
        dropout.install(encoder)


def learning(encoder: Encoder) -> dict[str, nn.Parameter]:
    """The weights that learn, by name."""
    return {name: weight for name, weight in encoder.named_parameters() if weight.requires_grad}


def adamw(encoder: Encoder, train: "TrainConfig") -> torch.optim.Optimizer:
    """AdamW; biases and layer norms, the vectors among the weights, do not decay.

    `scale` of a group is what `layer_decay` makes of the learning rate there.
    """
    layers = _layers(encoder)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, weight in learning(encoder).items():
        scale = train.layer_decay ** (layers + 1 - _depth(name, layers))
        groups.setdefault((scale, weight.ndim > 1), []).append(weight)
    return torch.optim.AdamW(
        [
            {"params": weights, "weight_decay": train.weight_decay if decays else 0.0, "scale": scale}
            for (scale, decays), weights in groups.items()
        ],
        lr=train.learning_rate,
    )


def snapshot(encoder: Encoder) -> dict[str, Tensor]:
    """A copy on the CPU of the weights that learn."""
    return {name: weight.detach().cpu().clone() for name, weight in learning(encoder).items()}


def restore(encoder: Encoder, weights: Mapping[str, Tensor]) -> None:
    """Puts back what `snapshot` took."""
    with torch.no_grad():
        for name, weight in learning(encoder).items():
            weight.copy_(weights[name])


def fold_adapters(encoder: Encoder) -> None:
    """Adds every low-rank adapter to the weight beside it, so that what remains is a model without adapters."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(encoder.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent, _, child = name.rpartition(".")
            setattr(encoder.get_submodule(parent), child, module.get_base_layer())
    encoder.requires_grad_(True)


def _transformer(encoder: Encoder) -> Any:
    module: Any = encoder.model[0]
    return module.auto_model


def _freeze(encoder: Encoder, trained: int) -> None:
    layers = _layers(encoder)
    for name, weight in encoder.named_parameters():
        in_transformer = name.startswith("model.0.")
        weight.requires_grad_(not in_transformer or (trained > 0 and _depth(name, layers) > layers - trained))
    if not learning(encoder):
        raise BadInput(
            f"train.trained_layers={trained} trains only what follows the transformer, and this model has nothing "
            f"with weights there. Give 1 to {layers}, the number of its layers, or leave it out."
        )


def _layers(encoder: Encoder) -> int:
    found = [int(match[1]) for name, _ in encoder.named_parameters() if (match := _LAYER.search(name))]
    return 1 + max(found, default=-1)


def _depth(name: str, layers: int) -> int:
    """0: the embeddings; 1 to `layers`: a layer; beyond: what follows them."""
    if match := _LAYER.search(name):
        return int(match[1]) + 1
    return 0 if "embed" in name else layers + 1


def _add_adapters(encoder: Encoder, lora: "LoraConfig", seed: int) -> None:
    import peft

    settings = peft.LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules) or "all-linear",
        bias="none",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # all workers draw the same
        try:
            peft.inject_adapter_in_model(settings, _transformer(encoder))
        except ValueError as error:
            raise BadInput(f"train.lora.target_modules: {error}") from error
    for name, weight in encoder.named_parameters():
        weight.requires_grad_("lora_" in name)
