"""How far products of rounded vectors may lie from the scores."""

import numpy as np

ALLOWANCE = 1.001  # for the rounding of a bound itself


def norms(vectors_ND: np.ndarray) -> np.ndarray:
    return np.sqrt(np.vecdot(vectors_ND, vectors_ND))


def off_by_sums(queries_BD: np.ndarray, norm: float) -> np.ndarray:
    """How far two sums of D products may lie apart, for passages no longer than `norm`: each errs by D units of
    rounding at most (Higham 2002, 3.1)."""
    return 2 * ALLOWANCE * queries_BD.shape[1] * 2.0**-24 * norm * norms(queries_BD)
