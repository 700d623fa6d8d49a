"""Whether two systems differ, from their scores on the same queries, under one or several seeds of the training.

The test is the paired randomisation test (Smucker, Allan and Carterette, CIKM 2007) on each query's mean over the
seeds: if the systems do not differ, each query's difference is as likely to have the other sign. It speaks of other
queries of the same kind, for the models at hand.

The interval is a percentile bootstrap over queries and seeds, so it speaks of other trainings as well. S seeds drawn
from S with replacement spread by a factor sqrt((S - 1) / S) too little; their deviations are widened by its inverse.
With a single seed there is nothing to draw, and the interval is over queries alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from syneg.differences import LEVEL

POWER = 0.8
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
    seeds: int
    effect_size: float  # Cohen's d_z: mean over standard deviation of the queries' differences
    standard_error: float  # of the difference, from the bootstrap
    detectable: float  # the smallest gain that is found with 80 % power at the 5 % level (see `detectable_gain`)
    better: int  # queries whose mean over seeds rose
    worse: int


def paired(baseline: np.ndarray, treated: np.ndarray, *, seed: int, draws: int = 10_000) -> Difference:
    """Compares the scores of two systems on the same queries in the same order: [Q], or [S, Q] over the same S seeds.

    A side without seeds (a model that was not trained) is [Q] or [1, Q] and counts under every seed of the other.
    The smallest p is 1 / (draws + 1). Equal scores on every query give p = 1 and an interval of no width.

    Raises:
        ValueError: no queries, or another number of them or of seeds on the two sides.
    """
    left_SQ, right_SQ = np.atleast_2d(baseline).astype(np.float64), np.atleast_2d(treated).astype(np.float64)
    same = left_SQ.shape[1] == right_SQ.shape[1] and (
        left_SQ.shape[0] == right_SQ.shape[0] or 1 in (left_SQ.shape[0], right_SQ.shape[0])
    )
    if not same or not left_SQ.size or not right_SQ.size:
        raise ValueError(f"paired scores of {baseline.shape} and {treated.shape}; expected the same queries, above 0")
    delta_SQ = right_SQ - left_SQ
    delta_Q = delta_SQ.mean(axis=0)
    flips, resamples = np.random.default_rng(seed).spawn(2)
    means = _bootstrap_means(delta_SQ, resamples, draws)
    low, high = np.quantile(means, [LEVEL / 2, 1 - LEVEL / 2])
    spread = float(delta_Q.std(ddof=1)) if len(delta_Q) > 1 else 0.0
    error = float(means.std())
    return Difference(
        difference=float(delta_Q.mean()),
        low=float(low),
        high=float(high),
        p=_randomisation_p(delta_Q, flips, draws),
        queries=len(delta_Q),
        seeds=len(delta_SQ),
        effect_size=float(delta_Q.mean()) / spread if spread > _ROUNDING else 0.0,
        standard_error=error,
        detectable=detectable_gain(error),
        better=int((delta_Q > _ROUNDING).sum()),
        worse=int((delta_Q < -_ROUNDING).sum()),
    )


def detectable_gain(standard_error: float, level: float = LEVEL, power: float = POWER) -> float:
    """The true difference that a two-sided test at `level` finds with probability `power`: (z_1-level/2 + z_power) SE.

    Differences below it may be there and not be seen (Cohen, 1988; for retrieval Webber, Moffat and Zobel, CIKM 2008).
    """
    normal = NormalDist()
    return standard_error * (normal.inv_cdf(1 - level / 2) + normal.inv_cdf(power))


def holm(probabilities: Sequence[float]) -> list[float]:
    """Each p adjusted for all being looked at (Holm, 1979): reject those below the level, and the chance of even one
    false rejection stays below it."""
    adjusted = [0.0] * len(probabilities)
    highest = 0.0
    for place, number in enumerate(sorted(range(len(probabilities)), key=lambda number: probabilities[number])):
        highest = max(highest, min(1.0, (len(probabilities) - place) * probabilities[number]))
        adjusted[number] = highest
    return adjusted


def _randomisation_p(delta_Q: np.ndarray, generator: np.random.Generator, draws: int) -> float:
    """Share of sign assignments, the observed one among them, whose mean is at least as far from 0 as the observed."""
    observed = abs(delta_Q.mean()) - _ROUNDING
    extreme = 1
    for rows in _slices(len(delta_Q), draws):
        signs = generator.integers(0, 2, size=(rows, len(delta_Q)), dtype=np.int8) * 2 - 1
        extreme += int((np.abs(signs @ delta_Q / len(delta_Q)) >= observed).sum())
    return extreme / (draws + 1)


def _bootstrap_means(delta_SQ: np.ndarray, generator: np.random.Generator, draws: int) -> np.ndarray:
    """The mean of `draws` resamples, of queries and, independently, of seeds."""
    seeds, queries = delta_SQ.shape
    by_query, by_seed = generator.spawn(2)
    means = []
    for rows in _slices(queries, draws):
        drawn = by_query.integers(0, queries, size=(rows, queries), dtype=np.int32)
        if seeds == 1:
            means.append(delta_SQ[0][drawn].mean(axis=1))
            continue
        means_RS = np.stack([of_seed[drawn].mean(axis=1) for of_seed in delta_SQ], axis=1)
        weights_RS = by_seed.multinomial(seeds, [1 / seeds] * seeds, size=rows) / seeds
        widened_RS = 1 / seeds + (weights_RS - 1 / seeds) * np.sqrt(seeds / (seeds - 1))
        means.append((widened_RS * means_RS).sum(axis=1))
    return np.concatenate(means)


def _slices(queries: int, draws: int) -> Iterator[int]:
    rows = max(1, _CELLS // queries)
    for start in range(0, draws, rows):
        yield min(rows, draws - start)
