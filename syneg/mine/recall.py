"""What an approximate index misses: the same searches, exactly, for a sample of the training queries."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from syneg.ids import rows_of
from syneg.mine import draws
from syneg.mine.samplers import VECTORS, Corpus, Search
from syneg.mine.searches import Ranking
from syneg.mine.shard import Shard, shards
from syneg.search.ivf import Lists

_LOW = 0.9  # recall below which the run warns
_ROUNDING = 1e-6  # within which scores count as equal


def facts(corpus: Corpus, queries: pa.Table, qrels: pa.Table) -> dict[str, Any]:
    """By ranking the share of the exact top k that the index finds too, over `mine.ivf.recall_queries` queries."""
    workers, recall, warnings = corpus.workers, dict[str, dict[str, Any]](), list[str]()
    for sample in _sample(queries, qrels, corpus.mine.ivf.recall_queries, corpus.mine.seed):
        exactly = replace(corpus, mine=corpus.mine.model_copy(update={"index": "exact"}))
        exact, found = Search(exactly, sample), Search(corpus, sample)
        for name in found.rankings:
            lists, probes = workers.get(workers.start(Lists.shape, corpus.lists(VECTORS[name][1])[0]))
            share, depth = workers.get(workers.start(of, exact.ranking(name), found.ranking(name)))
            recall[name] = {"share": round(share, 4), "at": depth, "queries": sample.queries.num_rows}
            recall[name] |= {"lists": lists, "probes": probes}
            if share < _LOW and probes < lists:  # to look at every list is to search exactly
                warnings.append(
                    f"The index finds {share:.0%} of the {depth} passages that exact search ranks highest ({name}). "
                    f"Raise mine.ivf.probes above {probes:,}: {lists:,}, as many as there are lists, find all."
                )
    return {"recall": recall, "warnings": warnings}


def of(exact: Ranking, found: Ranking) -> tuple[float, int]:
    """The share of the exact ranking's rows that were found, and how many rows a query has at most.

    Found is what scores as high as the lowest of them: of equal passages one is as good as another.
    """
    ids = exact.rows["query_id"].unique()
    wanted, seen = (rows_of(ranking.rows["query_id"], ids) for ranking in (exact, found))
    lowest_Q = np.full(len(ids), np.inf)
    np.minimum.at(lowest_Q, wanted, exact.rows["score"].to_numpy())
    reached = found.rows["score"].to_numpy() >= lowest_Q[seen] - _ROUNDING
    wanted_Q, reached_Q = (np.bincount(query, minlength=len(ids)) for query in (wanted, seen[reached]))
    depth = int(exact.rows["rank"].to_numpy().max(initial=-1)) + 1
    return float(np.minimum(wanted_Q, reached_Q).sum()) / max(1, len(wanted)), depth


def _sample(queries: pa.Table, qrels: pa.Table, count: int, seed: int) -> Iterator[Shard]:
    drawn = np.sort(draws.uniform(draws.generator(seed, "recall"), queries.num_rows, count))
    return shards(queries.take(pa.array(drawn)), qrels, max(1, len(drawn)))
