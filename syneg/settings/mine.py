"""Retrieved negatives."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic import model_validator as _check

from syneg.settings.section import ModelAddress, Section, Share

SamplerName = Literal["random", "bm25", "dense", "ance", "simans", "adore"]
VectorsName = Literal["base", "newest", "query_side"]


@dataclass(frozen=True)
class Traits:
    """What a sampler searches, and what can be said of its ranking."""

    vectors: VectorsName | None = None  # of the base model, of the newest trained one, of ADORE's query encoder
    words: bool = False
    scored: bool = True  # if not, nothing can be filtered by a score
    drawn: bool = False  # ranks are the order of a draw, so that the first n are a draw of n
    from_window: bool = False  # it ranks only what its window holds, so that ranks start in the window


TRAITS: dict[SamplerName, Traits] = {
    "random": Traits(scored=False, drawn=True),
    "bm25": Traits(words=True),
    "dense": Traits("base"),
    "ance": Traits("newest"),
    "simans": Traits("base", drawn=True, from_window=True),
    "adore": Traits("query_side"),
}


class SamplerConfig(Section):
    """Candidates come from ranks [window_start, window_end) of the sampler's own ranking, 0 the best.

    A margin m keeps d- only if s(q,d-) <= s(q,d+) - |s(q,d+)| m (relative) or s(q,d-) <= s(q,d+) - m (absolute), by the
    sampler's own scores, with the lowest-scoring positive as d+ (positive-aware mining, arXiv 2407.15831).
    """

    window_start: NonNegativeInt = 0
    window_end: PositiveInt = 100
    relative_margin: NonNegativeFloat | None = None
    absolute_margin: NonNegativeFloat | None = None
    min_score: float | None = None  # what scores less is too easy
    pick: Literal["top", "uniform"] = "top"  # the mix takes the best survivors, or draws among them

    @_check(mode="after")
    def _is_a_window(self) -> "SamplerConfig":
        if self.window_end <= self.window_start:
            raise ValueError(f"window_end {self.window_end} must be above window_start {self.window_start}")
        return self

    @property
    def uses_scores(self) -> bool:
        limits = (self.relative_margin, self.absolute_margin, self.min_score)
        return any(limit is not None for limit in limits)


class SimansConfig(Section):
    """p_i proportional to exp(-a (s(q,d_i) - s(q,d+) - b)^2) (SimANS, arXiv 2210.11773): most likely at s(q,d+) + b.

    The released a = 0.5 is for inner products that differ by whole numbers. Cosines of a window differ by about 0.1,
    for which 0.5 would be a uniform draw: the default here is ours.
    """

    a: NonNegativeFloat = 100.0
    b: float = 0.0


class CrossEncoderConfig(Section):
    """A sequence-classification model that reads query and passage together; what it finds too good is no negative.

    It looks at what all other filters left of the samplers' rankings, and its scores are logits. The margins are as a
    sampler's, against the lowest-scoring positive. With no limit at all it rejects nothing: its scores are kept for
    `train.distillation`.
    """

    model: ModelAddress  # with one label (a score) or two (no, yes)
    max_length: PositiveInt = 512  # tokens of both texts together
    relative_margin: NonNegativeFloat | None = None
    absolute_margin: NonNegativeFloat | None = None
    max_score: float | None = None


class Bm25Config(Section):
    """Defaults as Anserini's: k1 0.9, b 0.4."""

    k1: PositiveFloat = 0.9
    b: Share = 0.4
    stopwords: Literal["english", "none"] = "english"
    stemmer: Literal["porter", "none"] = "porter"


class IvfConfig(Section):
    """Read where `mine.index` is ivf: the passages' vectors lie in lists, and a query looks at the nearest of them.

    More probes find more and take longer; as many probes as lists are an exact search. FAISS's guidelines give 4 to 16
    times the root of the passages for lists; the default number of probes is ours (`benchmarks/ivf.py`).
    """

    lists: PositiveInt | None = None  # None: 4 times the root of the number of passages
    probes: PositiveInt | None = None  # lists that a query looks at; None: 64, or a 64th of them where that is more
    recall_queries: PositiveInt = 200  # training queries that are searched exactly too, to tell what is missed
    seed: NonNegativeInt = 0  # of the sample that the lists' centres are learnt from

    def resolved(self, passages: int) -> tuple[int, int]:
        """Lists and probes over this number of passages: never more lists than passages, nor more probes than lists."""
        lists = min(self.lists or round(4 * passages**0.5), max(1, passages))
        return lists, min(self.probes or max(64, round(lists / 64)), lists)


class MineConfig(Section):
    """Retrieved negatives: the samplers, in the order in which the mix takes turns among them."""

    samplers: dict[SamplerName, SamplerConfig] = Field(
        default_factory=lambda: {"dense": SamplerConfig(relative_margin=0.05), "bm25": SamplerConfig()}, min_length=1
    )
    simans: SimansConfig = SimansConfig()
    # How vectors are searched: every passage for every query, or through an inverted file, for CPUs above a million
    # passages, whose recall against the exact search is measured on a sample and reported.
    index: Literal["exact", "ivf"] = "exact"
    ivf: IvfConfig = IvfConfig()
    rounds: PositiveInt = 1  # of ANCE: each mines with the encoder that the one before trained, and trains it on
    # A query with fewer accepted candidates of different text than this, over all samplers, is short: it stays so, or
    # random passages fill it up (under the sampler random; `cross_encoder` does not read them), or its candidates are
    # rejected. Counted and listed in any case.
    least: PositiveInt = 3
    on_short: Literal["keep", "random", "drop"] = "keep"
    # Bits (of 64) in which the SimHash of a passage and of a positive may differ for the two to count as the same text
    # but for a detail (6 finds 97 of 100 abstracts with one word changed); null: only equal texts do.
    near_duplicate_bits: NonNegativeInt | None = Field(default=6, le=16)
    cross_encoder: CrossEncoderConfig | None = None
    seed: NonNegativeInt = 0  # of the draws of random and simans

    @_check(mode="after")
    def _fits_its_samplers(self) -> "MineConfig":
        for name, sampler in self.samplers.items():
            if not TRAITS[name].scored and sampler.uses_scores:
                raise ValueError(f"mine.samplers.{name} gives no scores: take its margins and min_score away")
            if TRAITS[name].drawn and sampler.pick != "top":
                raise ValueError(f"mine.samplers.{name} is a draw already: leave pick at top")
        if ("ance" in self.samplers) != (self.rounds > 1):
            raise ValueError(
                "mine.rounds above 1 and mine.samplers.ance go together: without a trained model to mine with ance "
                f"would be dense, and without ance no round would differ; seen rounds={self.rounds} and the samplers "
                f"{', '.join(self.samplers)}"
            )
        return self

    def circumstances(self) -> set[str]:
        """What no sampler here reads decides no row either."""
        unread = {"ivf": self.index != "ivf", "simans": "simans" not in self.samplers}
        return super().circumstances() | {name for name, so in unread.items() if so}

    @property
    def vectors(self) -> set[VectorsName]:
        """What its samplers search by vectors."""
        return {vectors for name in self.samplers if (vectors := TRAITS[name].vectors)}
