"""A model without its weights: what they are called and what its classes can do, from its folder's configs alone."""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import AutoConfig, AutoModel

from syneg.encoder import architecture
from syneg.errors import BadInput
from syneg.store import files

_KEY = "encoder.model"
_WEIGHTS = (".safetensors", ".bin")


class Outline(nn.Module):
    """What an `Encoder` has: `model[0].auto_model`, and a weight behind it for each module that has some. On no device,
    so that it takes no memory."""

    def __init__(self, transformer: nn.Module, others: int) -> None:
        super().__init__()
        first = nn.Module()
        first.auto_model = transformer
        self.model = nn.Sequential(first, *(nn.Linear(1, 1, device="meta") for _ in range(others)))

    @classmethod
    def read(cls, address: str, trust_remote_code: bool = False) -> "Outline | None":
        """Of the folder at `address`, which `architecture.read` has looked at; None if its code is the model's own.

        Raises:
            BadInput: there is no model, or transformers does not know its kind.
        """
        folder = architecture.read_from(address, _KEY)
        names = [name for name, _ in files.files_below(folder)]
        alone = [{"type": "sentence_transformers.models.Transformer", "path": ""}]  # transformers wrote it
        modules = architecture.modules_of(folder, _KEY) or alone
        if modules[0]["type"].partition(".")[0] != "sentence_transformers":
            return None
        first, *others = (f"{module['path']}/".lstrip("/") for module in modules)
        config = files.read(files.join(folder, f"{first}config.json"))
        if trust_remote_code and "auto_map" in json.loads(config):
            return None
        with_weights = [place for place in others if any(_is_weights(name, place) for name in names)]
        return cls(_transformer(config), len(with_weights))


def _is_weights(name: str, place: str) -> bool:
    return name.startswith(place) and name.endswith(_WEIGHTS)


def _transformer(config: bytes) -> nn.Module:
    """By its config.json. Of a model with a decoder too, sentence-transformers takes the encoder alone, if transformers
    has a class for it."""
    with tempfile.TemporaryDirectory() as folder, torch.device("meta"):
        (Path(folder) / "config.json").write_bytes(config)
        try:
            read: Any = AutoConfig.from_pretrained(folder, local_files_only=True)
            alone = getattr(transformers, type(read).__name__.removesuffix("Config") + "EncoderModel", None)
            if alone is None:
                return AutoModel.from_config(read)
            read.is_encoder_decoder = False
            return alone(read)
        except ValueError as error:
            raise BadInput(f"{_KEY}: transformers makes no model of its config.json: {error}") from error
