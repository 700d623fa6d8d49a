"""What went into the instances, counted while they are made."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from syneg.mix.compose import Composed, Kind
from syneg.schemas import SYNTHETIC_SOURCE

_MANY_DROPPED = 0.1  # share of the pairs


@dataclass
class Tally:
    """Counts over some instances; those of shards add up. All but `short` and `dropped` are of accepted instances."""

    instances: int = 0
    with_synthetic: int = 0
    negatives: Counter[str] = field(default_factory=Counter)  # by source
    replaced: Counter[str] = field(default_factory=Counter)  # synthetic places given to retrieved negatives, by why
    borrowed: Counter[str] = field(default_factory=Counter)  # negatives of other queries, by kind
    short: Counter[str] = field(default_factory=Counter)  # instances with too few, by kind and why
    dropped: Counter[str] = field(default_factory=Counter)  # by reason
    struck: set[tuple[str, ...]] = field(default_factory=set)  # pairs, and negatives of pairs, that a review rejected

    def count(self, composed: Composed, why: Mapping[Kind, str], reason: str | None) -> None:
        """A finished instance. `why` there are no more negatives of a kind; `reason` for which it was rejected."""
        if reason in ("empty_positive", "rejected_in_review"):
            return
        self.short.update(f"{kind}: {why[kind]}" for kind in composed.missing)
        if reason is not None:
            self.dropped[reason] += 1
            return
        sources = Counter(negative.source for negative in composed.negatives)
        self.instances += 1
        self.with_synthetic += bool(sources[SYNTHETIC_SOURCE])
        self.negatives.update(sources)
        if composed.replaced:
            self.replaced[why["synthetic"]] += composed.replaced
        self.borrowed.update(
            "synthetic" if negative.source == SYNTHETIC_SOURCE else "retrieved"
            for negative in composed.negatives
            if negative.borrowed_from is not None
        )

    def add(self, other: "Tally") -> None:
        self.instances += other.instances
        self.with_synthetic += other.with_synthetic
        self.struck |= other.struck
        for name in ("negatives", "replaced", "borrowed", "short", "dropped"):
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
            "synthetic_share": self.negatives[SYNTHETIC_SOURCE] / max(1, self.negatives.total()),
            "struck_in_review": sum(len(named) == 3 for named in self.struck),
            **{name: dict(sorted(found.items())) for name, found in counts.items()},
        }

    def warnings(self) -> list[str]:
        """What went otherwise than the strategy has it, in words that a person can act on."""
        return [*self._of_dropped(), *self._of_replaced()]

    def _of_dropped(self) -> list[str]:
        dropped = self.dropped.total()
        if dropped <= _MANY_DROPPED * (self.instances + dropped):
            return []
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(self.dropped.items()))
        left = f"{self.instances:,} are" if self.instances else "none is"
        return [
            f"{dropped:,} of {self.instances + dropped:,} pairs were dropped, as their instances cannot be filled "
            f"({reasons}); {left} left. Ask for fewer negatives, let the windows of mine.samplers and the gate leave "
            "more, or set mix.on_short to keep or borrow."
        ]

    def _of_replaced(self) -> list[str]:
        """Of pairs that the LLM was asked for."""
        replaced = self.replaced.total() - self.replaced["not_asked_for"]
        own = self.negatives[SYNTHETIC_SOURCE] - self.borrowed["synthetic"]
        if replaced <= own:
            return []
        return [
            f"Of {own + replaced:,} places for synthetic negatives {replaced:,} were given to retrieved ones, as the "
            "gate accepted too few: these instances are not what mix.strategy says. `syneg generate CONFIG --rejected "
            "5` shows why."
        ]
