"""What every training worker gets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syneg.settings.encoder import EncoderConfig
from syneg.settings.resources import TrainResources
from syneg.settings.train import TrainConfig


@dataclass(frozen=True)
class Job:
    """Light enough to be made by a driver that never imports torch's models."""

    folder: str  # address of the model to start from
    encoder: EncoderConfig
    train: TrainConfig
    pool: TrainResources
    attempt: str  # the folder in the store for what an attempt leaves
    data: Path  # the instances and, where it is looked at, the dev split, on the driver's disk
    stored_data: str | None  # the same in the store, for other nodes; None: there are none
    sources: tuple[str, ...]  # that negatives come from
    journal: Any  # handle of the actor that is a `Journal`
    threads: int
