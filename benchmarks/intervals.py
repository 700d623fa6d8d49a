"""How often the 95 % interval holds the truth, and how often a difference counts as shown that is not there.

    python benchmarks/intervals.py [--trials 1000]

Scores are drawn as differences of Q queries under S trainings: 12 points from query to query, 8 of each query anew in
each training, and 0 to 2 points from training to training; the true difference is 0. Nothing of a model is run.

The claim: in every cell the interval holds the truth in 0.93 to 0.97 of the trials, give or take what so many trials
leave open (two standard errors).
"""

import argparse
import json
import sys

import numpy as np

from syneg.differences import is_shown
from syneg.evaluate.significance import paired

OF_QUERIES, OF_REST = 0.12, 0.08  # standard deviations
CELLS = (  # queries, seeds, standard deviation between trainings
    *((300, seeds, between) for seeds in (1, 2, 3, 5) for between in (0.0, 0.01, 0.02) if seeds > 1 or not between),
    *((3_000, seeds, between) for seeds in (2, 3, 5) for between in (0.005, 0.01)),
)
LOW, HIGH = 0.93, 0.97


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=1_000)
    arguments = parser.parse_args()
    cells = [measure(*cell, arguments.trials) for cell in CELLS]
    slack = 2 * (0.05 * 0.95 / arguments.trials) ** 0.5
    holds = all(LOW - slack <= cell["holds_the_truth"] <= HIGH + slack for cell in cells)
    worst = max((cell["holds_the_truth"] for cell in cells), key=lambda share: abs(share - 0.95))
    claim = {"name": "intervals", "ours": worst, "peer": 0.95, "ratio": round(worst / 0.95, 3)}
    claim |= {"target": f"{LOW} to {HIGH}, +- {slack:.3f}", "holds": holds, "trials": arguments.trials, "cells": cells}
    print(json.dumps(claim))
    sys.exit(0 if holds else 1)


def measure(queries: int, seeds: int, between: float, trials: int) -> dict[str, float]:
    draw = np.random.default_rng([queries, seeds, round(1_000 * between)])
    held = shown = low_p = 0
    for trial in range(trials):
        rest = draw.normal(0, between, (seeds, 1)) + draw.normal(0, OF_REST, (seeds, queries))
        found = paired(np.zeros(queries), draw.normal(0, OF_QUERIES, queries) + rest, seed=trial, draws=1_000)
        held += found.low <= 0 <= found.high
        shown += is_shown(found.p, found.low, found.high)
        low_p += found.p < 0.05
    cell = {"queries": queries, "seeds": seeds, "points_between_trainings": 100 * between}
    cell |= {"holds_the_truth": held / trials, "p_below_0.05": low_p / trials, "shown": shown / trials}
    print(json.dumps(cell), file=sys.stderr)
    return cell


if __name__ == "__main__":
    main()
