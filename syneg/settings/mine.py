"""Retrieved negatives."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic import model_validator as _check

from syneg.settings.section import Section, Share


class SamplerConfig(Section):
    """Candidates come from ranks [window_start, window_end) of the sampler's own ranking, 0 the best.

    A margin m keeps d- only if s(q,d-) <= s(q,d+) - |s(q,d+)| m (relative) or s(q,d-) <= s(q,d+) - m (absolute), by the
    sampler's own scores, with the lowest-scoring positive as d+ (positive-aware mining, arXiv 2407.15831).
    """

    window_start: NonNegativeInt = 0
    window_end: PositiveInt = 100
    relative_margin: NonNegativeFloat | None = None
    absolute_margin: NonNegativeFloat | None = None
    pick: Literal["top", "uniform"] = "top"  # the mix takes the best survivors, or draws among them

    @_check(mode="after")
    def _is_a_window(self) -> "SamplerConfig":
        if self.window_end <= self.window_start:
            raise ValueError(f"window_end {self.window_end} must be above window_start {self.window_start}")
        return self


class Bm25Config(Section):
    """Defaults as Anserini's: k1 0.9, b 0.4."""

    k1: PositiveFloat = 0.9
    b: Share = 0.4
    stopwords: Literal["english", "none"] = "english"
    stemmer: Literal["porter", "none"] = "porter"


class MineConfig(Section):
    """Retrieved negatives: the samplers, in the order in which the mix takes turns among them."""

    samplers: dict[Literal["bm25", "dense", "ance"], SamplerConfig] = Field(
        default_factory=lambda: {"dense": SamplerConfig(relative_margin=0.05), "bm25": SamplerConfig()}, min_length=1
    )
    rounds: PositiveInt = 1  # of ANCE: each mines with the encoder that the one before trained, and trains it on

    @_check(mode="after")
    def _fits_its_samplers(self) -> "MineConfig":
        if ("ance" in self.samplers) != (self.rounds > 1):
            raise ValueError(
                "mine.rounds above 1 and mine.samplers.ance go together: without a trained model to mine with ance "
                f"would be dense, and without ance no round would differ; seen rounds={self.rounds} and the samplers "
                f"{', '.join(self.samplers)}"
            )
        return self
