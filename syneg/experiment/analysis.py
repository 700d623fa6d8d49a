"""Which arms differ, by paired tests that know how many of them were made. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from syneg import differences
from syneg.evaluate import significance
from syneg.evaluate.significance import Difference
from syneg.experiment.results import Results


@dataclass(frozen=True)
class Comparison:
    """`treated` minus `baseline`, two arms' names."""

    baseline: str
    treated: str
    found: Difference
    adjusted_p: float  # by Holm, over all comparisons of the experiment
    detectable: float  # the gain that these queries and seeds show with 80 % power at the level left after correction

    @property
    def is_shown(self) -> bool:
        return differences.is_shown(self.adjusted_p, self.found.low, self.found.high)

    @property
    def gain(self) -> bool:
        return self.is_shown and self.found.difference > 0

    @property
    def loss(self) -> bool:
        return self.is_shown and self.found.difference < 0

    def summary(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self.found) | {
            "baseline": self.baseline,
            "treated": self.treated,
            "adjusted_p": self.adjusted_p,
            "detectable": self.detectable,
            "shown": self.is_shown,
        }


@dataclass(frozen=True)
class Analysis:
    """All comparisons by the first measure: each tuned arm with its base, and with the arm to beat."""

    measure: str
    with_base: Mapping[str, Comparison]  # by tuned arm
    with_rival: Mapping[str, Comparison]  # by tuned arm, without the rival itself; empty if there is none
    rival: str | None
    detectable: tuple[float, float]  # from the easiest to the hardest of the comparisons

    @property
    def count(self) -> int:
        return len(self.with_base) + len(self.with_rival)


def analyse(results: Results, rival: str | None, seed: int) -> Analysis:
    """Tests by the first measure. Holm's correction is over all of them together."""
    measure = results.measures[0]
    tuned = [arm for arm in results.arms.values() if arm.base is not None]
    pairs = [(results.arms[arm.base], arm) for arm in tuned if arm.base is not None]
    if rival is not None:
        pairs += [(results.arms[rival], arm) for arm in tuned if arm.name != rival]
    comparisons = compared(
        [((left.name, left.values[measure]), (right.name, right.values[measure])) for left, right in pairs], seed
    )
    gains = [comparison.detectable for comparison in comparisons]
    return Analysis(
        measure=measure,
        with_base={found.treated: found for found in comparisons[: len(tuned)]},
        with_rival={found.treated: found for found in comparisons[len(tuned) :]},
        rival=rival,
        detectable=(min(gains), max(gains)),
    )


Named = tuple[str, np.ndarray]
"""A system's name and its scores, [Q] or [S, Q]."""


def compared(pairs: Sequence[tuple[Named, Named]], seed: int) -> list[Comparison]:
    """Each pair's second system minus its first. Holm's correction is over all pairs together."""
    found = [significance.paired(left, right, seed=seed) for (_, left), (_, right) in pairs]
    adjusted = significance.holm([difference.p for difference in found])
    return [
        Comparison(
            left,
            right,
            difference,
            p,
            significance.detectable_gain(difference.standard_error, difference.reach, differences.LEVEL / len(pairs)),
        )
        for ((left, _), (right, _)), difference, p in zip(pairs, found, adjusted, strict=True)
    ]
