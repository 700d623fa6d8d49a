"""Draws without replacement. Each query has a generator of its own, so that no draw depends on other queries."""

import hashlib

import numpy as np

from syneg.settings.mine import SimansConfig


def generator(seed: int, *key: str) -> np.random.Generator:
    """Depends on `seed` and `key` alone."""
    return np.random.default_rng([seed, _digest(*key)])


def lot(seed: int, *key: str) -> float:
    """A number in [0, 1) that depends on `seed` and `key` alone: a draw of many rows at the price of a hash each."""
    return (_digest(str(seed), *key) >> 75) / 2**53


def _digest(*key: str) -> int:
    """128 bits."""
    digest = hashlib.blake2b("\0".join(key).encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return int.from_bytes(digest, "little")


def uniform(generator: np.random.Generator, population: int, count: int) -> np.ndarray:
    """`count` different numbers below `population` in the order of the draw, all of them if there are fewer."""
    return generator.choice(population, size=min(count, population), replace=False)


def simans_log_weights(scores_N: np.ndarray, anchor: float | np.ndarray, simans: SimansConfig) -> np.ndarray:
    """log p_i + const = -a (s(q,d_i) - s(q,d+) - b)^2 (SimANS, arXiv 2210.11773, equation 4).

    The released code has the sign of b turned round, and the absolute value in one variant; this is the formula.
    """
    return -simans.a * (scores_N.astype(np.float64) - anchor - simans.b) ** 2


def weighted_order(generator: np.random.Generator, log_weights_N: np.ndarray) -> np.ndarray:
    """All N rows in the order in which one draw after the other takes them, each in proportion to its weight.

    Gumbel noise on log weights, sorted, is such a draw without replacement (Kool et al., arXiv 1903.06059). Rows that
    are later taken out leave a draw among the others, by the same weights.
    """
    return np.argsort(-(log_weights_N + generator.gumbel(size=len(log_weights_N))), kind="stable")


def effective_size(log_weights_N: np.ndarray) -> float:
    """Kish's effective sample size 1 / sum p_i^2: N for equal weights, 1 if one row takes all."""
    weights = np.exp(log_weights_N - log_weights_N.max())
    return float(weights.sum() ** 2 / (weights**2).sum())
