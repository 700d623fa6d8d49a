"""What went into the instances, counted while they are made."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from syneg.mix.recipe import SYNTHETIC, Composed


@dataclass
class Tally:
    """Counts over some instances; those of shards add up."""

    instances: int = 0
    with_synthetic: int = 0
    negatives: Counter[str] = field(default_factory=Counter)  # by source
    replaced: Counter[str] = field(default_factory=Counter)  # synthetic places given to retrieved negatives, by why
    borrowed: Counter[str] = field(default_factory=Counter)  # negatives of other queries, by kind
    short: Counter[str] = field(default_factory=Counter)  # instances with too few, kept ones too, by kind and why
    struck: set[tuple[str, ...]] = field(default_factory=set)  # pairs, and negatives of pairs, that a review rejected

    def count(self, composed: Composed) -> None:
        """A finished instance."""
        sources = Counter(negative.source for negative in composed.negatives)
        self.instances += 1
        self.with_synthetic += bool(sources[SYNTHETIC])
        self.negatives.update(sources)

    def add(self, other: "Tally") -> None:
        self.instances += other.instances
        self.with_synthetic += other.with_synthetic
        self.struck |= other.struck
        for name in ("negatives", "replaced", "borrowed", "short"):
            getattr(self, name).update(getattr(other, name))

    def facts(self) -> dict[str, Any]:
        counts: dict[str, Mapping[str, int]] = {
            "negatives": self.negatives,
            "synthetic_replaced": self.replaced,
            "borrowed": self.borrowed,
            "short": self.short,
        }
        return {
            "with_synthetic": self.with_synthetic,
            "synthetic_share": self.negatives[SYNTHETIC] / max(1, self.negatives.total()),
            "struck_in_review": sum(len(named) == 3 for named in self.struck),
            **{name: dict(sorted(found.items())) for name, found in counts.items()},
        }
