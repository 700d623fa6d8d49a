"""Whether two systems differ, from their scores on the same queries, under one or several seeds of the training.

The test is the paired randomisation test (Smucker, Allan and Carterette, CIKM 2007) on each query's mean over the
seeds: if the systems do not differ, each query's difference is as likely to have the other sign. It speaks of other
queries of the same kind, for the models at hand.

The interval speaks of other trainings as well. Of a difference d_sq = mean + seed_s + query_q + rest_sq, the mean over
S seeds and Q queries varies by two independent parts. That of the queries, V_q = var_q(mean over seeds) / Q, is drawn
by the bootstrap: the queries' means are resampled. That of the seeds, V_s = var_s(mean over queries) / S less the
rest's share of it, MS_rest / (S Q), which V_q holds already, is known from S numbers alone: to each resample's mean
comes sqrt(V_s) times a draw of Student's t with S - 1 degrees of freedom, as the normal's tails would be too light. The
sum has the Behrens-Fisher distribution (Fisher, 1935), and the interval holds its middle 95 %: of 2 or 3 seeds it is
wide. `benchmarks/intervals.py` counts how often it holds the truth. With one seed there is nothing to tell of others,
and the interval is over queries alone. No interval is corrected for being one of several; p is (`holm`).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.special import stdtrit

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
    standard_error: float  # of the difference: the queries' part, from the bootstrap, and the seeds'
    reach: float  # half the interval's width, which a difference has to exceed; 0 for one seed: the test asks as much
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
    by_query, by_seed = resamples.spawn(2)
    means = _bootstrap_means(delta_Q, by_query, draws)
    of_seeds = _variance_of_seeds(delta_SQ)
    error = math.hypot(float(means.std()), math.sqrt(of_seeds))
    if len(delta_SQ) > 1:
        means += math.sqrt(of_seeds) * _students_t(len(delta_SQ) - 1, by_seed, draws)
    low, high = np.quantile(means, [LEVEL / 2, 1 - LEVEL / 2])
    reach = float(high - low) / 2 if len(delta_SQ) > 1 else 0.0
    spread = float(delta_Q.std(ddof=1)) if len(delta_Q) > 1 else 0.0
    return Difference(
        difference=float(delta_Q.mean()),
        low=float(low),
        high=float(high),
        p=_randomisation_p(delta_Q, flips, draws),
        queries=len(delta_Q),
        seeds=len(delta_SQ),
        effect_size=float(delta_Q.mean()) / spread if spread > _ROUNDING else 0.0,
        standard_error=error,
        reach=reach,
        detectable=detectable_gain(error, reach),
        better=int((delta_Q > _ROUNDING).sum()),
        worse=int((delta_Q < -_ROUNDING).sum()),
    )


def detectable_gain(standard_error: float, reach: float = 0.0, level: float = LEVEL, power: float = POWER) -> float:
    """The true difference that is found with probability `power`: (z_1-level/2 + z_power) SE by a two-sided test at
    `level`, or reach + z_power SE where an interval asks for more.

    Differences below it may be there and not be seen (Cohen, 1988; for retrieval Webber, Moffat and Zobel, CIKM 2008).
    """
    normal = NormalDist()
    return max(standard_error * normal.inv_cdf(1 - level / 2), reach) + standard_error * normal.inv_cdf(power)


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


def _bootstrap_means(delta_Q: np.ndarray, generator: np.random.Generator, draws: int) -> np.ndarray:
    """The mean of `draws` resamples of queries."""
    queries = len(delta_Q)
    drawn = (generator.integers(0, queries, size=(rows, queries), dtype=np.int32) for rows in _slices(queries, draws))
    return np.concatenate([delta_Q[rows].mean(axis=1) for rows in drawn])


def _variance_of_seeds(delta_SQ: np.ndarray) -> float:
    """What the seeds add to the variance of the mean; 0 for one seed, or where they differ no more than the rest does.

    With a single query no rest can be told from the seeds, and all is theirs.
    """
    seeds, queries = delta_SQ.shape
    if seeds == 1:
        return 0.0
    of_seed_S, of_query_Q = delta_SQ.mean(axis=1), delta_SQ.mean(axis=0)
    rest_SQ = delta_SQ - of_seed_S[:, None] - of_query_Q + delta_SQ.mean()
    share_of_rest = (rest_SQ**2).sum() / ((seeds - 1) * max(1, queries - 1)) / (seeds * queries)
    return max(0.0, float(of_seed_S.var(ddof=1) / seeds - share_of_rest))


def _students_t(degrees: int, generator: np.random.Generator, draws: int) -> np.ndarray:
    """One draw from each of as many equally likely ranges: with few degrees others leave the tails to chance."""
    return generator.permutation(stdtrit(degrees, (np.arange(draws) + 0.5) / draws))


def _slices(queries: int, draws: int) -> Iterator[int]:
    rows = max(1, _CELLS // queries)
    for start in range(0, draws, rows):
        yield min(rows, draws - start)
