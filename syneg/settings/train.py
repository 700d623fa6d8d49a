"""Fine-tuning."""

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from pydantic import model_validator as _check

from syneg.settings.section import Section, Share


class TrainConfig(Section):
    """InfoNCE (arXiv 2412.17250, phase 3). `batch_size` counts instances over all workers."""

    epochs: PositiveInt = 1
    batch_size: PositiveInt = 32
    chunk_size: PositiveInt = 32  # texts encoded at once under gradient caching
    learning_rate: PositiveFloat = 2e-5
    weight_decay: NonNegativeFloat = 0.01
    warmup_ratio: Share = 0.1
    gradient_clipping: PositiveFloat = 1.0
    temperature: PositiveFloat = 0.05
    in_batch_negatives: bool = False
    cross_device_negatives: bool = False
    query_max_length: PositiveInt = 64
    passage_max_length: PositiveInt = 128
    dtype: Literal["float32", "bfloat16"] = "float32"
    zero_stage: Literal[0, 1, 2] = 1
    seed: int = 0

    @_check(mode="after")
    def _negatives_agree(self) -> "TrainConfig":
        if self.cross_device_negatives and not self.in_batch_negatives:
            raise ValueError("cross_device_negatives widens in_batch_negatives, which is off: turn both on")
        return self
