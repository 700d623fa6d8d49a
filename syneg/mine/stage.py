"""Mining: each sampler's ranking of the training queries, and the reason for which a candidate is no negative."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from syneg import schemas
from syneg.mine import recall
from syneg.mine.candidates import candidates
from syneg.mine.facts import Tally
from syneg.mine.passages import Passages
from syneg.mine.samplers import SAMPLERS, Corpus, Search
from syneg.mine.shard import shards, training_queries
from syneg.on_ray.workers import OnRay, Workers
from syneg.settings.mine import Bm25Config, MineConfig
from syneg.stage import Context, Inputs, Output

# Queries that one pass over the corpus serves: a pass reads all vectors, and a worker holds this many rows of results.
_SHARD_QUERIES = 16_384
# Candidates that are in the driver at once.
_SLICE_ROWS = 400_000


def run(inputs: Inputs, context: Context, *, bm25: Bm25Config, mine: MineConfig) -> Output:
    """Candidates of every sampler for every training query with a positive, and the positives that a cross-encoder
    scored. rows_in counts the ranked passages and these positives.

    Passages are sharded over the workers, queries too; a worker holds one block of passages and one shard's results,
    the driver one slice of candidates, and all scored positives.
    """
    return mined(inputs, context, OnRay(context.resources.mine, context.resources), bm25=bm25, mine=mine)


def mined(inputs: Inputs, context: Context, workers: Workers, *, bm25: Bm25Config, mine: MineConfig) -> Output:
    mining = _Mining(inputs, context, workers, bm25, mine)
    return Output(
        lambda: mining.tally.rows + sum(table.num_rows for table in mining.positives),
        # Written in this order: all positives are there by then.
        {"candidates": mining.candidates(), "positives": iter(mining.positives)},
        facts=lambda: mining.tally.facts(mine) | mining.of_index,
    )


@dataclass
class _Mining:
    """What is mined, and what there is to tell of it, which grows with the candidates."""

    inputs: Inputs
    context: Context
    workers: Workers
    bm25: Bm25Config
    mine: MineConfig
    tally: Tally = field(default_factory=Tally)
    positives: list[pa.Table] = field(default_factory=lambda: [schemas.POSITIVES.empty_table()])
    of_index: dict[str, Any] = field(default_factory=dict)  # facts of an approximate one

    def candidates(self) -> Iterator[pa.Table]:
        """Rows of `schemas.CANDIDATES`, slice by slice."""
        yield schemas.CANDIDATES.empty_table()
        queries, qrels = training_queries(self.inputs)
        corpus = self._corpus()
        waiting: deque[Any] = deque()
        for handle in self._started(corpus, queries, qrels):
            waiting.append(handle)
            if len(waiting) > 2 * self.workers.count:
                yield self._finished(waiting.popleft(), queries.num_rows)
        while waiting:
            yield self._finished(waiting.popleft(), queries.num_rows)
        if self.mine.index == "ivf":
            self.context.progress("measuring the index against an exact search")
            self.of_index["index"] = recall.facts(corpus, queries, qrels)

    def _corpus(self) -> Corpus:
        workers, texts = self.workers, self.inputs.tables["passages"]
        simhashes = self.mine.near_duplicate_bits is not None
        parts = [workers.start(Passages.read, part, simhashes) for part in texts.split(workers.count)]
        return Corpus(self.inputs, workers, self.mine, self.bm25, workers.start(Passages.joined, *parts))

    def _started(self, corpus: Corpus, queries: pa.Table, qrels: pa.Table) -> Iterator[Any]:
        """Handles of what `candidates` gives of each slice."""
        workers, mine = self.workers, self.mine
        per_query = sum(sampler.window_end for sampler in mine.samplers.values())
        step = max(1, _SLICE_ROWS // per_query)
        for shard in shards(queries, qrels, _SHARD_QUERIES):
            search = Search(corpus, shard)
            rankings = [SAMPLERS[name](search, sampler) for name, sampler in mine.samplers.items()]
            ours, texts = workers.put(shard), self.inputs.tables["passages"]
            for start in range(0, shard.queries.num_rows, step):
                own = range(start, min(start + step, shard.queries.num_rows))
                yield workers.start(candidates, ours, own, corpus.passages, texts, mine, *rankings)

    def _finished(self, handle: Any, queries: int) -> pa.Table:
        table, scored, counts = self.workers.get(handle)
        # A copy: a slice of what a worker sent would keep all of it in the object store.
        self.positives.append(scored.take(pa.array(range(scored.num_rows), pa.int64())))
        self.tally.add(counts)
        self.context.progress(f"{self.tally.queries:,}/{queries:,} queries")
        return table
