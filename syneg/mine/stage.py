"""Mining: each sampler's ranking of the training queries, and the reason for which a candidate is no negative."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syneg import schemas
from syneg.ids import rows_of
from syneg.mine.filters import Judged, Ranked, lowest_anchor, reject_reasons, text_key
from syneg.search import dense
from syneg.search.bm25 import Bm25Index
from syneg.settings.mine import Bm25Config, MineConfig, SamplerConfig
from syneg.stage import Context, Inputs, Output


@dataclass(frozen=True)
class Collection:
    """What the samplers mine: the corpus, the training queries that have a positive, and these positives."""

    inputs: Inputs
    bm25: Bm25Config

    @cached_property
    def queries(self) -> pa.Table:
        table = self.inputs.tables["queries"].table()
        judged = self._positive_qrels["query_id"].unique()
        return table.filter((pc.field("split") == "train") & pc.field("query_id").isin(judged))

    @cached_property
    def _positive_qrels(self) -> pa.Table:
        return self.inputs.tables["qrels"].table().filter(pc.field("relevance") > 0)

    @cached_property
    def passages(self) -> tuple[pa.ChunkedArray, np.ndarray]:
        """Ids and text keys (uint64 [P]) of all passages."""
        ids: list[pa.Array] = []
        keys: list[np.ndarray] = []
        for block in self.inputs.tables["passages"].blocks():
            ids += block["passage_id"].chunks
            pairs = zip(block["title"].to_pylist(), block["text"].to_pylist(), strict=True)
            keys.append(np.fromiter((text_key(*pair) for pair in pairs), np.uint64, block.num_rows))
        return pa.chunked_array(ids, pa.string()), np.concatenate(keys)

    @cached_property
    def positives(self) -> np.ndarray:
        """int64 [J, 2]: rows of `queries` and `passages` of every training judgement with relevance > 0."""
        query = rows_of(self._positive_qrels["query_id"], self.queries["query_id"])
        passage = rows_of(self._positive_qrels["passage_id"], self.passages[0])
        return np.column_stack([query, passage])[(query >= 0) & (passage >= 0)]

    def positive_ids(self) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
        """Query and passage ids of `positives`."""
        return (
            self.queries["query_id"].take(pa.array(self.positives[:, 0])),
            self.passages[0].take(pa.array(self.positives[:, 1])),
        )


Sampler = Callable[[Collection, int], tuple[pa.Table, np.ndarray]]
"""Ranks the corpus for every query of a collection, down to a depth: `schemas.RANKING` and the score of each positive
(float32 [J], in the order of `Collection.positives`)."""


def _bm25(collection: Collection, depth: int) -> tuple[pa.Table, np.ndarray]:
    """Top of BM25 (Robertson and Zaragoza, 2009), Lucene's variant; k1 0.9 and b 0.4 as Anserini's by default."""
    index = Bm25Index.build(collection.inputs.tables["passages"].blocks(), collection.bm25)
    ids, texts = collection.queries["query_id"].to_pylist(), collection.queries["text"].to_pylist()
    scores = index.scores([texts[row] for row in collection.positives[:, 0]], collection.positives[:, 1])
    return index.top_k(ids, texts, depth), scores


def _dense(collection: Collection, depth: int) -> tuple[pa.Table, np.ndarray]:
    """Top of the frozen encoder by cosine."""
    return _by_vectors(collection, depth, "query_vectors", "passage_vectors")


def _ance(collection: Collection, depth: int) -> tuple[pa.Table, np.ndarray]:
    """Top of the encoder that the round before trained (ANCE, arXiv 2007.00808); in the first round, of the base."""
    trained = "tuned_" if "tuned_passage_vectors" in collection.inputs.tables else ""
    return _by_vectors(collection, depth, f"{trained}query_vectors", f"{trained}passage_vectors")


def _by_vectors(collection: Collection, depth: int, of_queries: str, of_passages: str) -> tuple[pa.Table, np.ndarray]:
    tables = collection.inputs.tables
    queries = tables[of_queries].where("id", collection.queries["query_id"].to_pylist())
    passages = tables[of_passages]
    ranking = dense.top_k(queries, passages.blocks(), depth)
    of_query, of_passage = collection.positive_ids()
    judged = passages.where("id", of_passage.unique().to_pylist())
    left = dense.matrix(queries["vector"])[rows_of(of_query, queries["id"])]
    right = dense.matrix(judged["vector"])[rows_of(of_passage, judged["id"])]
    return ranking, np.einsum("jd,jd->j", left.astype(np.float32), right.astype(np.float32))


SAMPLERS: dict[str, Sampler] = {"bm25": _bm25, "dense": _dense, "ance": _ance}


def run(inputs: Inputs, context: Context, *, bm25: Bm25Config, mine: MineConfig) -> Output:
    """Candidates of every sampler for every training query with a positive. rows_in counts the ranked passages."""
    collection = Collection(inputs, bm25)
    mined: list[pa.Table] = []
    for name, settings in mine.samplers.items():
        context.progress(f"{name}: {collection.queries.num_rows:,} queries")
        ranking, positive_scores = SAMPLERS[name](collection, settings.window_end)
        mined.append(_candidates(name, settings, collection, ranking, positive_scores))
    candidates = pa.concat_tables(mined)
    facts = {"queries": collection.queries.num_rows, "samplers": _summary(candidates)}
    return Output(candidates.num_rows, {"candidates": candidates}, facts=lambda: facts)


def _candidates(
    name: str, settings: SamplerConfig, collection: Collection, ranking: pa.Table, positive_scores: np.ndarray
) -> pa.Table:
    passage_ids, keys = collection.passages
    query = rows_of(ranking["query_id"], collection.queries["query_id"])
    passage = rows_of(ranking["passage_id"], passage_ids)
    anchors = lowest_anchor(collection.queries.num_rows, collection.positives[:, 0], positive_scores)
    ranked = Ranked(query, passage, ranking["rank"].to_numpy(), ranking["score"].to_numpy(), anchors[query])
    reasons = reject_reasons(ranked, Judged(keys, collection.positives), settings)
    return pa.table(
        {
            "query_id": ranking["query_id"],
            "passage_id": ranking["passage_id"],
            "sampler": pa.array([name] * ranking.num_rows, pa.string()),
            "rank": ranking["rank"],
            "score": ranking["score"],
            "positive_score": pa.array(ranked.anchor, pa.float32(), from_pandas=True),  # NaN is null
            "reject_reason": pa.array(reasons, pa.string()),
        },
        schema=schemas.CANDIDATES,
    )


def _summary(candidates: pa.Table) -> dict[str, dict[str, int]]:
    """Candidates by sampler and reason; those that passed are under "accepted"."""
    summary: dict[str, Counter[str]] = {}
    reasons = candidates["reject_reason"].fill_null("accepted")
    for sampler, reason in zip(candidates["sampler"].to_pylist(), reasons.to_pylist(), strict=True):
        summary.setdefault(sampler, Counter())[reason] += 1
    return {sampler: dict(sorted(counts.items())) for sampler, counts in summary.items()}
