"""What an instance is made of."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt
from pydantic import model_validator as _check

from syneg.settings.section import Content, Section, Share

Strategy = Literal["hybrid", "direct", "synthetic_only", "retrieved_only", "in_batch_only"]


class MixConfig(Section):
    """Instances (q, d+, [negatives]). `synthetic_per_instance` + `retrieved_per_instance` is the number of negatives of
    every instance under every strategy, so that strategies compare; in_batch_only alone has none.

    - hybrid: every instance has both kinds. A missing synthetic one is replaced by a retrieved one.
    - direct: one pool over the data set. An instance has negatives of one kind, drawn so that the data set holds as
      many synthetic ones as hybrid would, if enough were accepted; an instance for which none was, or under
      on_short=drop too few, has retrieved ones.
    - synthetic_only, retrieved_only: one kind for all.
    - in_batch_only: the positives of the other queries are all that there is (`train.in_batch_negatives`).

    What a strategy has no use for is neither written nor mined (`graph.stages`).
    """

    strategy: Strategy = "hybrid"
    synthetic_per_instance: NonNegativeInt = 1
    retrieved_per_instance: NonNegativeInt = 2
    synthetic_share: Share = 1.0  # share of instances that carry synthetic negatives (hybrid, direct), by a draw each
    # Retrieved negatives that a sampler gives at its turn; one that is not named gives none, but for random with
    # `mine.on_short: random`, whose passages come last. Empty: one of each. Whose turn is first is drawn by instance,
    # so that over the data set each has its share.
    quotas: dict[str, PositiveInt] = Field(default_factory=dict)
    # An instance with fewer negatives than asked for: drop it, keep it short, or fill it up with negatives of the same
    # kind that were made for other queries (and drop it if those do not suffice, as in a tiny collection).
    on_short: Literal["drop", "keep", "borrow"] = "drop"
    review: Annotated[str | None, Content("input")] = None  # decisions of a person, JSON Lines (syneg/mix/review.py)
    seed: NonNegativeInt = 0

    @property
    def per_instance(self) -> int:
        return 0 if self.strategy == "in_batch_only" else self.synthetic_per_instance + self.retrieved_per_instance

    @property
    def takes_synthetic(self) -> bool:
        if self.strategy in ("hybrid", "direct"):
            return self.synthetic_per_instance > 0 and self.synthetic_share > 0
        return self.strategy == "synthetic_only"

    @property
    def takes_retrieved(self) -> bool:
        """hybrid and direct do whatever the numbers say: retrieved negatives replace missing synthetic ones."""
        return self.strategy not in ("synthetic_only", "in_batch_only")

    def most_retrieved(self, written: int) -> int:
        """How many retrieved negatives an instance takes at most that lacks none of the `written` synthetic ones."""
        if not self.takes_retrieved:
            return 0
        lacking = max(0, self.synthetic_per_instance - written) if self.strategy == "hybrid" else 0
        all_carry = self.strategy != "retrieved_only" and self.synthetic_share == 1
        if all_carry and (self.strategy == "hybrid" or not self.retrieved_per_instance):
            return self.retrieved_per_instance + lacking
        return self.per_instance

    @property
    def least_synthetic(self) -> int:
        """How many synthetic negatives an instance needs that carries any, as no retrieved one replaces them."""
        return self.per_instance if self.takes_synthetic and self.strategy != "hybrid" else 0

    @_check(mode="after")
    def _has_negatives(self) -> "MixConfig":
        if self.synthetic_per_instance + self.retrieved_per_instance == 0:
            raise ValueError(
                "synthetic_per_instance and retrieved_per_instance are both 0: an instance needs a negative "
                "(or strategy: in_batch_only)"
            )
        return self
