"""Mining: each sampler's ranking of the training queries, and the reason for which a candidate is no negative."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from syneg import schemas
from syneg.mine import recall
from syneg.mine.candidates import candidates
from syneg.mine.facts import Tally
from syneg.mine.passages import Passages
from syneg.mine.samplers import SAMPLERS, Corpus, Search
from syneg.mine.shard import shards, training_queries
from syneg.settings.mine import Bm25Config, MineConfig
from syneg.stage import Context, Inputs, Output
from syneg.workers import OnRay, Workers

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
    return mined(inputs, context, OnRay(context.resources.mine), bm25=bm25, mine=mine)


def mined(inputs: Inputs, context: Context, workers: Workers, *, bm25: Bm25Config, mine: MineConfig) -> Output:
    tally, positives, missed = Tally(), [schemas.POSITIVES.empty_table()], dict[str, Any]()
    rows = _rows(inputs, context, workers, bm25, mine, tally, positives, missed)
    tables = {"candidates": rows, "positives": iter(positives)}  # written in this order: all are there by then
    return Output(
        lambda: tally.rows + sum(table.num_rows for table in positives),
        tables,
        facts=lambda: tally.facts(mine) | missed,
    )


def _rows(
    inputs: Inputs,
    context: Context,
    workers: Workers,
    bm25: Bm25Config,
    mine: MineConfig,
    tally: Tally,
    positives: list[pa.Table],
    missed: dict[str, Any],
) -> Iterator[pa.Table]:
    """The candidates, slice by slice. What else a slice gives is added to `tally` and `positives`; `missed` gets what
    there is to tell of an approximate index.
    """
    yield schemas.CANDIDATES.empty_table()
    queries, qrels = training_queries(inputs)
    texts = inputs.tables["passages"]
    simhashes = mine.near_duplicate_bits is not None
    parts = [workers.start(Passages.read, part, simhashes) for part in texts.split(workers.count)]
    corpus = Corpus(inputs, workers, mine, bm25, workers.start(Passages.joined, *parts))
    per_query = sum(sampler.window_end for sampler in mine.samplers.values())
    step = max(1, _SLICE_ROWS // per_query)
    waiting: deque[Any] = deque()

    def finished() -> pa.Table:
        table, scored, counts = workers.get(waiting.popleft())
        # A copy: a slice of what a worker sent would keep all of it in the object store.
        positives.append(scored.take(pa.array(range(scored.num_rows), pa.int64())))
        tally.add(counts)
        context.progress(f"{tally.queries:,}/{queries.num_rows:,} queries")
        return table

    for shard in shards(queries, qrels, _SHARD_QUERIES):
        search = Search(corpus, shard)
        rankings = [SAMPLERS[name](search, sampler) for name, sampler in mine.samplers.items()]
        ours = workers.put(shard)
        for start in range(0, shard.queries.num_rows, step):
            own = range(start, min(start + step, shard.queries.num_rows))
            waiting.append(workers.start(candidates, ours, own, corpus.passages, texts, mine, *rankings))
            if len(waiting) > 2 * workers.count:
                yield finished()
    while waiting:
        yield finished()
    if mine.index == "ivf":
        context.progress("measuring the index against an exact search")
        missed["index"] = recall.facts(corpus, queries, qrels)
