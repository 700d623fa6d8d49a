"""What workers do: functions of tables and arrays, which `samplers.py` starts."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syneg.ids import nth_of_group, rows_of
from syneg.mine import draws
from syneg.mine.passages import Passages
from syneg.mine.shard import Shard
from syneg.schemas import RANKING, with_columns
from syneg.search import dense, ivf
from syneg.search.bm25 import Bm25Index, Terms
from syneg.settings.mine import Bm25Config, MineConfig
from syneg.stage import Source
from syneg.vectors import unpack

_BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class Ranking:
    """What a sampler ranked for a shard, and the score that it gives to each positive."""

    rows: pa.Table  # `schemas.RANKING`; score is NaN where the sampler has none
    positive_scores: np.ndarray  # float32 [J], in the order of the shard's positives; NaN where it has none

    def narrowed(self, shard: Shard, own: range) -> "Ranking":
        """What is about the queries `own` of `shard`."""
        first, end = (self._starts(shard, query) for query in (own.start, own.stop))
        return Ranking(self.rows.slice(first, end - first), self.positive_scores[shard.has(own)])

    def _starts(self, shard: Shard, query: int) -> int:
        """The first row of `query` or of one after it: shards and rows are in the order of the queries' ids."""
        if query == shard.queries.num_rows:
            return self.rows.num_rows
        ids = self.rows["query_id"]
        return bisect_left(range(len(ids)), shard.ids[query].as_py(), key=lambda row: ids[row].as_py())

    def anchors(self, shard: Shard) -> np.ndarray:
        """The lowest of the positives' scores: float32 [Q], NaN where there is none."""
        anchors = np.full(shard.queries.num_rows, np.inf, np.float32)
        np.fmin.at(anchors, shard.positive_queries, self.positive_scores)
        return np.where(np.isinf(anchors), np.float32(np.nan), anchors)


@dataclass(frozen=True)
class Embedded:
    """A shard with the vectors of its queries, float16 [Q, D]."""

    shard: Shard
    vectors_QD: np.ndarray


Found = tuple[dense.Best, np.ndarray]
"""The best of some passages, and the scores of those positives that are among these passages (NaN for the others)."""


def search_vectors(embedded: Embedded, passages: Source, k: int) -> Found:
    """Looks at every row of `passages` (id, vector) once."""
    shard, queries_QD = embedded.shard, embedded.vectors_QD
    positive_scores = np.full(len(shard.positive_ids), np.nan, np.float32)

    def looked_at() -> Iterator[pa.Table]:
        for block in dense.in_blocks(passages.blocks(), _BLOCK_ROWS):
            row_of = rows_of(shard.positive_ids, block["id"])
            here = row_of >= 0
            vectors_PD = unpack(block["vector"])
            positive_scores[here] = dense.of_pairs(vectors_PD[row_of[here]], queries_QD[shard.positive_queries[here]])
            yield block

    return dense.search(queries_QD, looked_at(), k), positive_scores


def search_lists(embedded: Embedded, lists: ivf.Lists, k: int) -> Found:
    """As `search_vectors`, through the lists."""
    shard, queries_QD = embedded.shard, embedded.vectors_QD
    positive_scores = lists.scores(queries_QD[shard.positive_queries], shard.positive_ids)
    return lists.search(queries_QD, k), positive_scores


def join_found(embedded: Embedded, k: int, *found: Found) -> Ranking:
    best = dense.merged([best for best, _ in found], k)
    scores = reduce(np.fmax, [scores for _, scores in found])
    return Ranking(best.ranking(embedded.shard.ids, k), scores)


def cut(ranking: Ranking, depth: int) -> Ranking:
    return Ranking(ranking.rows.filter(pc.field("rank") < depth), ranking.positive_scores)


def count_terms(passages: Source, settings: Bm25Config) -> list[Terms]:
    return [Terms.read(block, settings) for block in passages.blocks()]


def index_terms(settings: Bm25Config, *parts: list[Terms]) -> Bm25Index:
    return Bm25Index.of([terms for part in parts for terms in part], settings)


def search_words(index: Bm25Index, shard: Shard, k: int) -> Ranking:
    texts = shard.queries["text"].to_pylist()
    positives = rows_of(shard.positive_ids, index.passage_ids)
    scores = index.scores([texts[query] for query in shard.positive_queries], positives)
    return Ranking(index.top_k(shard.ids.to_pylist(), texts, k), np.where(positives < 0, np.float32(np.nan), scores))


def draw_uniformly(shard: Shard, passages: Passages, count: int, seed: int) -> Ranking:
    """`count` passages a query, each as likely as any other."""
    query_ids = shard.ids.to_pylist()
    drawn = [draws.uniform(draws.generator(seed, "random", name), len(passages.ids), count) for name in query_ids]
    rows = ranked_rows(
        shard, np.repeat(np.arange(len(drawn)), list(map(len, drawn))), passages.ids, np.concatenate(drawn)
    )
    return Ranking(rows, np.full(len(shard.positive_ids), np.nan, np.float32))


def draw_simans(shard: Shard, ranking: Ranking, window_start: int, mine: MineConfig) -> Ranking:
    """The rows of `ranking` from `window_start` on, in the order of a SimANS draw."""
    rows = ranking.rows.filter(pc.field("rank") >= window_start)
    query = rows_of(rows["query_id"], shard.ids)
    log_weights = draws.simans_log_weights(rows["score"].to_numpy(), ranking.anchors(shard)[query], mine.simans)
    ends = np.searchsorted(query, np.arange(shard.queries.num_rows + 1))  # rows are in the queries' order
    places = np.empty(len(query), np.int64)
    for name, start, end in zip(shard.ids.to_pylist(), ends[:-1], ends[1:], strict=True):
        generator = draws.generator(mine.seed, "simans", name)
        places[start:end] = start + draws.weighted_order(generator, log_weights[start:end])
    drawn = ranked_rows(shard, query[places], rows["passage_id"].combine_chunks(), places)
    return Ranking(with_columns(drawn, score=rows["score"].to_numpy()[places]), ranking.positive_scores)


def ranked_rows(shard: Shard, query: np.ndarray, ids: pa.Array | pa.ChunkedArray, places: np.ndarray) -> pa.Table:
    """Rows in the order given, ranked within their query; no scores. Rows of one query are together."""
    return pa.table(
        [
            shard.ids.take(pa.array(query)),
            ids.take(pa.array(places)),
            pa.array(nth_of_group(query), pa.int32()),
            pa.array(np.full(len(query), np.nan), pa.float32()),
        ],
        schema=RANKING,
    )
