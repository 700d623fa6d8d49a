"""nDCG@10 on the dev split while training: the passages on disk, every worker ranks its part of them."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from syneg.encoder.encoder import Encoder
from syneg.passages import texts_of
from syneg.train.peers import Peers

_CUTOFF = 10
_PASSAGES, _QUERIES = "dev_passages.arrow", "dev_queries.arrow"
_BATCH_ROWS = 1_024
_PASSAGE_SCHEMA = pa.schema([("id", pa.string()), ("text", pa.string())])
_QUERY_SCHEMA = pa.schema([("id", pa.string()), ("text", pa.string()), ("relevant", pa.map_(pa.string(), pa.int32()))])


def write(queries: pa.Table, qrels: pa.Table, passages: Iterable[pa.Table], folder: Path) -> tuple[int, int]:
    """Puts the dev split where `DevSplit.open` finds it; memory is bounded by one block of passages.

    Args:
        queries: `schemas.QUERIES`, each with a relevant passage.
        qrels: `schemas.QRELS` of these queries.
        passages: blocks of `schemas.PASSAGES` that are to be ranked.
        folder: on this machine.

    Returns:
        How many queries and passages.
    """
    relevant: dict[str, dict[str, int]] = {query_id: {} for query_id in queries["query_id"].to_pylist()}
    for row in qrels.to_pylist():
        relevant[row["query_id"]][row["passage_id"]] = row["relevance"]
    rows = zip(queries["query_id"].to_pylist(), queries["text"].to_pylist(), strict=True)
    table = pa.Table.from_pylist(
        [{"id": query_id, "text": text, "relevant": list(relevant[query_id].items())} for query_id, text in rows],
        _QUERY_SCHEMA,
    )
    with pa.OSFile(str(folder / _QUERIES), "wb") as sink, pa.ipc.new_file(sink, _QUERY_SCHEMA) as writer:
        writer.write_table(table)
    count = 0
    with pa.OSFile(str(folder / _PASSAGES), "wb") as sink, pa.ipc.new_file(sink, _PASSAGE_SCHEMA) as writer:
        for block in passages:
            rows = pa.table([block["passage_id"], texts_of(block)], schema=_PASSAGE_SCHEMA)
            writer.write_table(rows.combine_chunks(), _BATCH_ROWS)
            count += block.num_rows
    return table.num_rows, count


@dataclass(frozen=True)
class DevSplit:
    """Q dev queries with their judgements, and the passages that are ranked for them."""

    query_ids: Sequence[str]
    queries: Sequence[str]
    relevant: Sequence[Mapping[str, int]]  # of each query, relevance by passage id
    passages: Sequence[pa.RecordBatch]

    @classmethod
    def open(cls, folder: Path) -> "DevSplit":
        table = pa.ipc.open_file(pa.memory_map(str(folder / _QUERIES))).read_all()
        reader = pa.ipc.open_file(pa.memory_map(str(folder / _PASSAGES)))
        return cls(
            table["id"].to_pylist(),
            table["text"].to_pylist(),
            [dict(pairs) for pairs in table["relevant"].to_pylist()],
            [reader.get_batch(number) for number in range(reader.num_record_batches)],
        )

    def ndcg(self, encoder: Encoder, peers: Peers) -> float:
        """Mean nDCG@10 of the encoder as it is; NaN if a vector has numbers that are not finite. All workers call this,
        and all get the same value."""
        count, wanted = len(self.queries), _CUTOFF + 1  # one more: a query's own passage may not be ranked for it
        queries_QD = encoder.encode(self.queries, "query")
        scores, rows = np.empty((count, 0), np.float32), np.empty((count, 0), np.int64)
        finite = bool(np.isfinite(queries_QD).all())
        for first, block in self._own_blocks(peers):
            scores_QP = queries_QD @ encoder.encode(block["text"].to_pylist(), "passage").T
            finite = finite and bool(np.isfinite(scores_QP).all())
            scores = np.hstack([scores, scores_QP])
            rows = np.hstack([rows, np.broadcast_to(np.arange(first, first + block.num_rows), scores_QP.shape)])
            scores, rows = _best(scores, rows, wanted)
        if peers.total(torch.tensor([float(not finite)], device=encoder.device)).item():
            return math.nan  # sorted last, they would score as any bad ranking does
        scores, rows = self._of_all(scores, rows, wanted, peers, encoder.device)
        ids = self._ids(rows)
        return float(np.mean([self._of_query(query, ids[query], scores[query]) for query in range(count)]))

    def _own_blocks(self, peers: Peers) -> Iterator[tuple[int, pa.RecordBatch]]:
        """This worker's blocks of passages, each with the number of its first row."""
        first = 0
        for number, block in enumerate(self.passages):
            if number % peers.workers == peers.rank:
                yield first, block
            first += block.num_rows

    def _of_all(
        self, scores: np.ndarray, rows: np.ndarray, wanted: int, peers: Peers, device: torch.device
    ) -> tuple[np.ndarray, np.ndarray]:
        """The best of all workers' best, [Q, wanted] or less; of equal scores the earlier row."""
        if peers.workers == 1:
            return scores, rows
        missing = ((0, 0), (0, wanted - scores.shape[1]))
        padded = torch.from_numpy(np.pad(scores, missing, constant_values=-np.inf)).to(device)
        padded_rows = torch.from_numpy(np.pad(rows, missing, constant_values=-1)).to(device)
        counts = [len(scores)] * peers.workers
        every, every_row = (peers.all_rows(each, counts).cpu().numpy() for each in (padded, padded_rows))
        together = [np.hstack(np.split(each, peers.workers)) for each in (every, every_row)]
        return _best(together[0], together[1], wanted)

    def _ids(self, rows: np.ndarray) -> list[list[str]]:
        """The passage ids of row numbers [Q, K]; an empty one for -1."""
        ends = np.cumsum([block.num_rows for block in self.passages])

        def of(row: int) -> str:
            block = int(np.searchsorted(ends, row, side="right"))
            return self.passages[block]["id"][row - int(ends[block - 1] if block else 0)].as_py()

        return [[of(int(row)) if row >= 0 else "" for row in found] for found in rows]

    def _of_query(self, query: int, ids: Sequence[str], scores: np.ndarray) -> float:
        own, relevant = self.query_ids[query], self.relevant[query]
        skipped = own if relevant.get(own, 0) <= 0 else None
        ranked = [passage for passage, score in zip(ids, scores, strict=True) if passage != skipped and score > -np.inf]
        best = _gain(sorted(relevant.values(), reverse=True))
        return _gain([relevant.get(passage, 0) for passage in ranked]) / best if best else 0.0


def _gain(gains: Sequence[int]) -> float:
    """DCG@10 with linear gains, as trec_eval's; a judgement below 0 counts as 0."""
    return sum(max(gain, 0) / np.log2(rank + 2) for rank, gain in enumerate(gains[:_CUTOFF]))


def _best(scores: np.ndarray, rows: np.ndarray, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """The best `wanted` columns of each query by score, then by row."""
    order = np.lexsort((rows, -scores), axis=1)[:, :wanted]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
