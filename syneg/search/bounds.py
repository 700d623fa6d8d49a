"""Candidate pairs from rounded matrix products, with error bounds.

How far each product may err is known; the best are within that, and are scored one by one.
"""

from typing import NamedTuple, Protocol

import numpy as np

ALLOWANCE = 1.001  # for the rounding of a bound itself


class Pairs(NamedTuple):
    """N pairs of B queries and passages, in the order of queries."""

    query_N: np.ndarray  # rows
    passage_N: np.ndarray  # rows
    floor_B: np.ndarray  # what scores less may be missing


class Products(Protocol):
    """Products of queries with a block of passages."""

    queries: int  # that are best asked for at once
    threads: int  # how many may ask at once

    def vectors(self, row_N: np.ndarray) -> np.ndarray:
        """Of some passages: float32 [N, D], until the same thread asks again."""
        ...

    def reaching(self, queries_BD: np.ndarray, k: int, least_B: np.ndarray, sure: bool) -> Pairs:
        """The pairs that may be among a query's k best in the block and score its `least` or more.

        Args:
            queries_BD: float32.
            least_B: float32, scores below which nothing matters; -inf where that is not known.
            sure: whether the k best must be there. If false, the floor may be a guess, which is faster; the caller must
                check that k pairs reach it.
        """
        ...


def norms(vectors_ND: np.ndarray) -> np.ndarray:
    return np.sqrt(np.vecdot(vectors_ND, vectors_ND))


def off_by_sums(queries_BD: np.ndarray, norm: float) -> np.ndarray:
    """How far two sums of D products may lie apart, for passages no longer than `norm`: each errs by D units of
    rounding at most (Higham 2002, 3.1)."""
    return 2 * ALLOWANCE * queries_BD.shape[1] * 2.0**-24 * norm * norms(queries_BD)
