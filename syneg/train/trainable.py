"""Which of an encoder's weights learn, how fast each, and in which precision it computes."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from syneg.encoder import dropout
from syneg.encoder.encoder import Encoder
from syneg.encoder.outline import Outline
from syneg.errors import BadInput

if TYPE_CHECKING:
    from syneg.settings.encoder import EncoderConfig
    from syneg.settings.train import LoraConfig, TrainConfig

_TRANSFORMER = "model.0."  # what the names of its weights begin with
_LAYER = re.compile(r"\.(?:layers?|h|blocks?)\.(\d+)\.")  # of BERT and its relatives: encoder.layer.3.attention...
MOMENTS = ("exp_avg", "exp_avg_sq")  # Adam's, one of each for every weight
# What follows the layers: pooler, final_layer_norm (T5), final_norm (ModernBERT), norm (Qwen), ln_f (GPT-2).
_BEHIND = re.compile(r"\.(?:pooler|(?:final_?)?(?:layer_?)?norm|norm_f|ln_f)\.", re.IGNORECASE)


def check(encoder: "EncoderConfig", train: "TrainConfig") -> None:
    """As `prepare`, before there is anything to train on: of the model at `encoder.model` the config alone is read.

    Raises:
        BadInput: `prepare` would refuse the model.
    """
    outline = Outline.read(encoder.model, encoder.trust_remote_code)
    if outline is not None:
        _arrange(outline, train)


def prepare(encoder: Encoder, train: "TrainConfig") -> None:
    """Makes of `encoder` what `train` asks for, in place: frozen layers, adapters, activation checkpointing,
    its precision. On a CPU its dropout draws faster.

    Raises:
        BadInput: the model has nothing that could learn under these settings, or cannot do what they ask for.
    """
    _arrange(encoder, train)
    on_device = "bfloat16" if encoder.device.type == "cuda" else "float32"
    if (train.dtype or on_device) == "bfloat16":
        # Not the weights: gradients of many chunks are summed, which in bfloat16 would lose those that come late.
        encoder.autocast = torch.bfloat16
    if encoder.device.type == "cpu":
        dropout.install(encoder)


def _arrange(encoder: Encoder | Outline, train: "TrainConfig") -> None:
    if train.layer_decay < 1 and not _layers(encoder):
        raise BadInput(f"train.layer_decay={train.layer_decay} {_NO_LAYERS} Leave it out.")
    if train.trained_layers is not None:
        _freeze(encoder, train.trained_layers)
    if train.lora is not None:
        _add_adapters(encoder, train.lora, train.seed)
    if train.activation_checkpointing:
        try:
            _transformer(encoder).activation_checkpointing_enable()
        except ValueError as error:
            raise BadInput(f"train.activation_checkpointing: {error} Leave it out.") from error


def learning(encoder: Encoder | Outline) -> dict[str, nn.Parameter]:
    """The weights that learn, by name."""
    return {name: weight for name, weight in encoder.named_parameters() if weight.requires_grad}


def adamw(encoder: Encoder | Outline, train: "TrainConfig") -> torch.optim.Optimizer:
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


def finite(encoder: Encoder) -> bool:
    """Whether every weight is a finite number."""
    return all(bool(weight.isfinite().all()) for weight in encoder.parameters())


def fold_adapters(encoder: Encoder) -> None:
    """Adds every low-rank adapter to the weight beside it, so that what remains is a model without adapters."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(encoder.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent, _, child = name.rpartition(".")
            setattr(encoder.get_submodule(parent), child, module.get_base_layer())
    encoder.requires_grad_(True)


def _transformer(encoder: Encoder | Outline) -> Any:
    module: Any = encoder.model[0]
    return module.auto_model


_NO_LAYERS = (
    "goes by the transformer's layers, and the weights of this model name none: ALBERT's layers, for one, share a "
    "single set of weights."
)


def _freeze(encoder: Encoder | Outline, trained: int) -> None:
    layers = _layers(encoder)
    if trained and not layers:
        raise BadInput(f"train.trained_layers={trained} {_NO_LAYERS} Leave it out.")
    if trained > layers:
        raise BadInput(
            f"train.trained_layers is {trained}, but the model has {layers} layers. Give {layers} or less, or leave it "
            "out: then the embeddings learn too."
        )
    for name, weight in encoder.named_parameters():
        learns = _depth(name, layers) > layers - trained if trained else not name.startswith(_TRANSFORMER)
        weight.requires_grad_(learns)
    if not learning(encoder):
        some = f"Give 1 to {layers}, the number of its layers, or leave it out" if layers else "Leave it out"
        raise BadInput(
            f"train.trained_layers={trained} trains only what follows the transformer, and this model has nothing "
            f"with weights there. {some}."
        )


def _layers(encoder: Encoder | Outline) -> int:
    found = [int(match[1]) for name, _ in encoder.named_parameters() if (match := _LAYER.search(name))]
    return 1 + max(found, default=-1)


def _depth(name: str, layers: int) -> int:
    """0: what every layer is fed with, embeddings and the like; 1 to `layers`: a layer; beyond: what follows them."""
    if match := _LAYER.search(name):
        return int(match[1]) + 1
    behind = not name.startswith(_TRANSFORMER) or ("embed" not in name and _BEHIND.search(name))
    return layers + 1 if behind else 0


def _add_adapters(encoder: Encoder | Outline, lora: "LoraConfig", seed: int) -> None:
    import peft

    transformer = _transformer(encoder)
    _check_targets(transformer, lora.target_modules)
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
            peft.inject_adapter_in_model(settings, transformer)
        except ValueError as error:
            raise BadInput(f"train.lora.target_modules: {error}") from error
    for name, weight in encoder.named_parameters():
        weight.requires_grad_("lora_" in name)


def _check_targets(transformer: nn.Module, targets: Sequence[str]) -> None:
    """peft goes by the ends of names, and says nothing of one that is the end of none as long as another is."""
    modules = dict(transformer.named_modules())
    missing = [target for target in targets if not any(f".{name}".endswith(f".{target}") for name in modules)]
    if missing:
        linear = {name.rpartition(".")[2] for name, module in modules.items() if isinstance(module, nn.Linear)}
        raise BadInput(
            f"train.lora.target_modules holds {', '.join(missing)}, but no layer of the model is called so. Its linear "
            f"layers are {', '.join(sorted(linear))}. Give some of these, or leave it out for all."
        )
