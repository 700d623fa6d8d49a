"""Whether two systems differ, from their scores on the same queries.

The test is the paired randomisation test (Smucker, Allan and Carterette, CIKM 2007): if the systems do not differ, each
query's difference is as likely to have the other sign. The interval is the percentile bootstrap over queries. Both
speak of other queries of the same kind; neither knows how much another seed of the training would have changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_CELLS = 4_000_000  # random numbers held at once, so that memory does not grow with the queries
_ROUNDING = 1e-12  # sums of the same differences in another order count as equal


@dataclass(frozen=True)
class Difference:
    """Treated minus baseline, in the measure's own units (1 point is 0.01)."""

    difference: float
    low: float  # the 95 % interval
    high: float
    p: float  # two-sided
    queries: int


def paired(baseline: np.ndarray, treated: np.ndarray, *, seed: int, draws: int = 10_000) -> Difference:
    """Compares the scores [Q] of two systems on the same queries in the same order.

    The smallest p is 1 / (draws + 1). Equal scores on every query give p = 1 and an interval of no width.

    Raises:
        ValueError: no queries, or another number of them on the two sides.
    """
    if baseline.shape != treated.shape or not len(baseline):
        raise ValueError(f"paired scores of {baseline.shape} and {treated.shape} queries; expected the same, above 0")
    delta = np.asarray(treated, np.float64) - np.asarray(baseline, np.float64)
    flips, resamples = np.random.default_rng(seed).spawn(2)
    low, high = np.quantile(_bootstrap_means(delta, resamples, draws), [0.025, 0.975])
    return Difference(
        difference=float(delta.mean()),
        low=float(low),
        high=float(high),
        p=_randomisation_p(delta, flips, draws),
        queries=len(delta),
    )


def _randomisation_p(delta: np.ndarray, generator: np.random.Generator, draws: int) -> float:
    """Share of sign assignments, the observed one among them, whose mean is at least as far from 0 as the observed."""
    observed = abs(delta.mean()) - _ROUNDING
    extreme = 1
    for rows in _slices(len(delta), draws):
        signs = generator.integers(0, 2, size=(rows, len(delta)), dtype=np.int8) * 2 - 1
        extreme += int((np.abs(signs @ delta / len(delta)) >= observed).sum())
    return extreme / (draws + 1)


def _bootstrap_means(delta: np.ndarray, generator: np.random.Generator, draws: int) -> np.ndarray:
    means = [
        delta[generator.integers(0, len(delta), size=(rows, len(delta)), dtype=np.int32)].mean(axis=1)
        for rows in _slices(len(delta), draws)
    ]
    return np.concatenate(means)


def _slices(queries: int, draws: int) -> Iterator[int]:
    rows = max(1, _CELLS // queries)
    for start in range(0, draws, rows):
        yield min(rows, draws - start)
