"""Our BM25 against bm25s alone, with the same tokeniser, stop words, stemmer, k1 and b; and two workers against one.

    python benchmarks/bm25.py [--collection ../shared/data/scifact] [--repeats 3]

All queries of the collection over all its passages, the best 100 of each. Against the peer it is CPU time on one
thread, which a busy machine lengthens less than the clock's; both sides start from texts and end with ids and scores.
Workers are Ray's, as in mining: slices of the queries go one after the other, then two at a time, by the clock; half of
the time would be linear.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import bm25s
import numpy as np
import pyarrow as pa
import Stemmer
from _claims import claim, together
from threadpoolctl import threadpool_limits

from syneg.cluster import session
from syneg.on_ray.workers import OnRay
from syneg.passages import texts_of
from syneg.schemas import PASSAGES
from syneg.search.bm25 import Bm25Index
from syneg.settings.mine import Bm25Config
from syneg.settings.resources import ResourcesConfig, WorkerResources
from syneg.settings.store import StorageConfig

K, TARGET, TARGET_OF_TWO = 100, 1.1, 0.6
SLICES, ROUNDS = 8, 40  # of the queries, which are asked so many times


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    shared = Path(__file__).parents[2] / "shared" / "data" / "scifact"
    parser.add_argument("--collection", type=Path, default=shared)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if not arguments.collection.is_dir():
        sys.exit(f"There is no collection at {arguments.collection}: name a folder in BEIR layout by --collection.")
    passages, (query_ids, queries) = read(arguments.collection)
    times: dict[str, list[float]] = {"ours_index": [], "ours_search": [], "peer_index": [], "peer_search": []}
    with threadpool_limits(1):
        for _ in range(arguments.repeats):
            found = ours(passages, query_ids, queries, times)
            check(found, peer(passages, queries, times))
    seconds = {name: statistics.median(values) for name, values in times.items()}
    total = {side: seconds[f"{side}_index"] + seconds[f"{side}_search"] for side in ("ours", "peer")}
    one, two = workers(passages, query_ids * ROUNDS, queries * ROUNDS, arguments.repeats)
    claims = [
        claim("bm25, CPU seconds", total["ours"], total["peer"], at_most=TARGET),
        claim("bm25, two workers against one", two, one, at_most=TARGET_OF_TWO),
    ]
    result = together("bm25", claims)
    shares = {name: round(value, 3) for name, value in seconds.items()}
    print(json.dumps(result | {"seconds": shares, "passages": passages.num_rows, "queries": len(queries)}))
    sys.exit(0 if result["holds"] else 1)


def workers(passages: pa.Table, ids: list[str], queries: list[str], repeats: int) -> tuple[float, float]:
    """Seconds on the clock that one worker takes, and two: the medians."""
    pool = WorkerResources(cpus=1.0, max_workers=2)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with session.joined(ResourcesConfig(cpus=2, object_store_gib=0.5), StorageConfig()):
        ours = OnRay(pool, ResourcesConfig())
        index = ours.put(Bm25Index.build([passages], Bm25Config()))
        slices = [(ids[start::SLICES], queries[start::SLICES]) for start in range(SLICES)]
        for handle in [ours.start(searched, index, *part) for part in slices]:
            ours.get(handle)  # both have imported what they need
        for _ in range(repeats):
            for at_once, taken in seconds.items():
                began = time.perf_counter()
                for start in range(0, SLICES, at_once):
                    for handle in [ours.start(searched, index, *part) for part in slices[start : start + at_once]]:
                        ours.get(handle)
                taken.append(time.perf_counter() - began)
    return statistics.median(seconds[1]), statistics.median(seconds[2])


def searched(index: Bm25Index, ids: list[str], queries: list[str]) -> int:
    return index.top_k(ids, queries, K).num_rows


def read(collection: Path) -> tuple[pa.Table, tuple[list[str], list[str]]]:
    rows = [json.loads(line) for line in (collection / "corpus.jsonl").open(encoding="utf-8")]
    columns = [[row[name] for row in rows] for name in ("_id", "title", "text")]
    asked = [json.loads(line) for line in (collection / "queries.jsonl").open(encoding="utf-8")]
    return pa.table(columns, schema=PASSAGES), ([row["_id"] for row in asked], [row["text"] for row in asked])


def ours(passages: pa.Table, query_ids: list[str], queries: list[str], times: dict[str, list[float]]) -> np.ndarray:
    began = time.process_time()
    index = Bm25Index.build([passages], Bm25Config())
    times["ours_index"].append(time.process_time() - began)
    began = time.process_time()
    ranking = index.top_k(query_ids, queries, K)
    times["ours_search"].append(time.process_time() - began)
    best = ranking.filter(pa.array(ranking["rank"].to_numpy() == 0))
    return best["score"].to_numpy()


def peer(passages: pa.Table, queries: list[str], times: dict[str, list[float]]) -> np.ndarray:
    stemmer = Stemmer.Stemmer("porter")
    began = time.process_time()
    tokens = bm25s.tokenize(texts_of(passages), stemmer=stemmer, show_progress=False)
    index = bm25s.BM25(k1=0.9, b=0.4, method="lucene")
    index.index(tokens, show_progress=False)
    times["peer_index"].append(time.process_time() - began)
    began = time.process_time()
    asked = bm25s.tokenize(queries, stemmer=stemmer, show_progress=False)
    rows, scores = index.retrieve(asked, k=K, show_progress=False)
    np.array(passages["passage_id"].to_pylist())[rows]
    times["peer_search"].append(time.process_time() - began)
    return scores[:, 0]


def check(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected[expected > 0], rtol=1e-4)


if __name__ == "__main__":
    main()
