"""What every training worker is told."""

from dataclasses import dataclass
from typing import Any

from syneg.settings.encoder import EncoderConfig
from syneg.settings.train import TrainConfig

MODEL = "model"  # the folder inside the last checkpoint


@dataclass(frozen=True)
class Job:
    """Light enough to be made by a driver that never imports torch's models."""

    folder: str  # address of the model to start from
    encoder: EncoderConfig
    train: TrainConfig
    instances: Any  # ObjectRef of an Arrow table
    journal: Any  # handle of the actor that is a `Journal`
    threads: int
