"""Some training queries with what is judged about them: what one round of searches is made for."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from syneg import positives
from syneg.ids import in_one, rows_of
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
    """The training queries in the order of their ids, and query_id and passage_id of what answers their texts."""
    queries, qrels = positives.of_split(inputs.tables, "train")
    return queries, positives.by_text(queries, qrels.filter(positives.RELEVANT))


def shards(queries: pa.Table, qrels: pa.Table, size: int) -> Iterator[Shard]:
    """Cut into `size` queries each."""
    row_of = rows_of(qrels["query_id"], queries["query_id"])
    for start in range(0, queries.num_rows, size):
        own = (row_of >= start) & (row_of < start + size)  # -1 is a query that is not among `queries`
        ids = in_one([qrels["passage_id"].filter(pa.array(own))])
        yield Shard(queries.slice(start, size), row_of[own] - start, ids)
