"""What an instance is made of."""

from typing import Literal

from pydantic import NonNegativeInt
from pydantic import model_validator as _check

from syneg.settings.section import Section


class MixConfig(Section):
    """Instances (q, d+, [synthetic..., retrieved...]); all have the same number of negatives."""

    strategy: Literal["hybrid"] = "hybrid"
    synthetic_per_instance: NonNegativeInt = 1
    retrieved_per_instance: NonNegativeInt = 2
    on_short: Literal["keep", "drop"] = "drop"  # an instance with fewer negatives than asked for
    seed: int = 0

    @_check(mode="after")
    def _has_negatives(self) -> "MixConfig":
        if self.synthetic_per_instance + self.retrieved_per_instance == 0:
            raise ValueError(
                "synthetic_per_instance and retrieved_per_instance are both 0: an instance needs a negative"
            )
        return self
