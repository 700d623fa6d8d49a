"""Exact dense search against the floor under any exact search: the matrix product itself.

    python benchmarks/search.py [--full] [--wall]

Random unit vectors, D = 384, k = 100. The floor is 2 Q P D operations at the rate that NumPy's sgemm reaches on tiles
of 1,024 by 16,384, measured between the searches; a search that multiplies bytes may fall below. Passages come as
float16 blocks, as from a table; to convert them is ours to pay. Time is CPU time on one thread, which a busy machine
lengthens less than the clock's (`--wall`: the clock's, on all threads). `--full`: 1 k to 100 k queries by 100 k and 1 M
passages.
"""

import argparse
import json
import statistics
import sys
import time

import numpy as np
import pyarrow as pa
import torch  # noqa: F401 - large searches import it; that is not counted
from threadpoolctl import threadpool_limits

from syneg.schemas import vectors
from syneg.search import dense
from syneg.vectors import pack

D, K, TARGET = 384, 100, 2.0
SIZES = [(1_000, 100_000), (4_000, 100_000)]
FULL = [(queries, passages) for passages in (100_000, 1_000_000) for queries in (1_000, 10_000, 100_000)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--wall", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    clock = time.perf_counter if arguments.wall else time.process_time
    rows = []
    with threadpool_limits(None if arguments.wall else 1):
        for queries, passages in FULL if arguments.full else SIZES:
            rows.append(measure(queries, passages, arguments.repeats, clock))
            print(json.dumps(rows[-1]), flush=True)
    worst = max(rows, key=lambda row: row["ratio"])
    holds = worst["ratio"] <= TARGET
    print(json.dumps({"name": "search", **worst, "target": f"<= {TARGET}", "holds": holds, "sizes": rows}))
    sys.exit(0 if holds else 1)


def measure(queries: int, passages: int, repeats: int, clock) -> dict:  # type: ignore[no-untyped-def]
    random = np.random.default_rng(0)
    queries_QD = unit(random, queries).astype(np.float16)
    blocks = [block(random, start, min(50_000, passages - start)) for start in range(0, passages, 50_000)]
    floors, ours = [], []
    for _ in range(repeats):
        floors.append(2 * queries * passages * D / sgemm_rate(clock))
        began = clock()
        best = dense.search(queries_QD, blocks, K)
        ours.append(clock() - began)
        assert best.rows.shape == (queries, K)
    floor, taken = statistics.median(floors), statistics.median(ours)
    rate = 2 * queries * passages * D / floor / 1e9
    return {
        "queries": queries,
        "passages": passages,
        "ours": round(taken, 3),
        "peer": round(floor, 3),
        "ratio": round(taken / floor, 3),
        "sgemm_gflops": round(rate, 1),
    }


def sgemm_rate(clock) -> float:  # type: ignore[no-untyped-def]
    """Operations per second: the best of three, a floor being what cannot be beaten."""
    random = np.random.default_rng(1)
    left, right = unit(random, 1_024), unit(random, 16_384)
    out = np.empty((1_024, 16_384), np.float32)
    seconds = []
    for _ in range(3):
        began = clock()
        np.matmul(left, right.T, out=out)
        seconds.append(clock() - began)
    return 2 * out.size * D / min(seconds)


def unit(random: np.random.Generator, rows: int) -> np.ndarray:
    values = random.standard_normal((rows, D), dtype=np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def block(random: np.random.Generator, start: int, rows: int) -> pa.Table:
    ids = pa.array([f"p{row:08d}" for row in range(start, start + rows)])
    return pa.table([ids, pack(unit(random, rows))], schema=vectors(D))


if __name__ == "__main__":
    main()
