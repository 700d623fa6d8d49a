"""Some training queries with what is judged about them: what one round of searches is made for."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syneg import positives
from syneg.ids import rows_of
from syneg.stage import Inputs


@dataclass(frozen=True)
class Shard:
    """Q queries, and the J pairs that make a passage one of their positives."""

    queries: pa.Table  # query_id, text
    positive_queries: np.ndarray  # int64 [J]: rows of `queries`
    positive_ids: pa.Array  # string [J]: passages

    def has(self, own: range) -> np.ndarray:
        """Which judgements are about the queries `own`: bool [J]."""
        return (self.positive_queries >= own.start) & (self.positive_queries < own.stop)

    def narrowed(self, own: range) -> "Shard":
        """Only the queries `own`."""
        has = self.has(own)
        positive_ids = self.positive_ids.filter(pa.array(has))
        return Shard(self.queries.slice(own.start, len(own)), self.positive_queries[has] - own.start, positive_ids)

    @property
    def ids(self) -> pa.ChunkedArray:
        return self.queries["query_id"]


def training_queries(inputs: Inputs) -> tuple[pa.Table, pa.Table]:
    """The training queries that have a positive, in the order of their ids, and query_id and passage_id of what answers
    them, by their texts."""
    queries = inputs.tables["queries"].where("split", ["train"], ["query_id", "text"])
    qrels = inputs.tables["qrels"].where("query_id", queries["query_id"].to_pylist())
    qrels = qrels.filter(pc.field("relevance") > 0)
    queries = queries.filter(pc.field("query_id").isin(qrels["query_id"].unique())).sort_by("query_id")
    return queries, positives.by_text(queries, qrels)


def shards(queries: pa.Table, qrels: pa.Table, size: int) -> Iterator[Shard]:
    """Cut into `size` queries each."""
    row_of = rows_of(qrels["query_id"], queries["query_id"])
    for start in range(0, queries.num_rows, size):
        own = (row_of >= start) & (row_of < start + size)  # -1 is another split's
        passages = qrels["passage_id"].filter(pa.array(own)).combine_chunks()
        ids = pa.concat_arrays(passages.chunks) if isinstance(passages, pa.ChunkedArray) else passages
        yield Shard(queries.slice(start, size), row_of[own] - start, ids)
