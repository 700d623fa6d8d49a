"""The join of pairs, candidates, synthetic negatives and passages, query by query: what workers do.

Each big table is cut once by the shard of its queries, part by part on the workers; a shard is then put together from
its pieces alone. The driver sees ids of queries, handles, and finished instances.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syneg import rejection, schemas
from syneg.ids import rows_of
from syneg.mix.shard import Pools, Recipe, Shard
from syneg.mix.tally import Tally
from syneg.on_ray.workers import Workers
from syneg.passages import COLUMNS
from syneg.stage import Inputs, Source

# Parts of a big table that are read at the same time, at most; each is read by one worker, whole.
_PARTS = 256
# Passages rejected for these reasons may still be lent; any other reason may mean the passage answers the query: also
# to rank before a window, which starts where it does for that.
_SILENT = {"below_min_score", "short_query", "not_judged"}
_UNFIT = [reason for reason in rejection.REASONS["candidates"] if reason not in _SILENT]
_CANDIDATE = ["query_id", "passage_id", "sampler", "rank", "score", "cross_score", "reject_reason"]
_SYNTHETIC = ["negative_id", "query_id", "positive_id", "text", "reject_reason"]


def joined(
    inputs: Inputs, workers: Workers, pairs: Sequence[pa.Table], recipe: Recipe, lending: int
) -> Iterator[tuple[pa.Table, Tally]]:
    """The instances of each shard, in order. `pairs`: those of each shard; at least one shard.

    lending: of so many queries of the first shard the negatives may be borrowed; 0 where nothing is.
    """
    shards, needed = _shards(inputs, workers, pairs, recipe)
    texts = _cut(inputs.tables["passages"], workers, cut_passages, len(pairs), *needed)
    pools = workers.start(lend, lending, shards[0], *texts[0]) if lending else workers.put({})
    # Every task is started, since it is Ray that waits: for what a task reads, and for room to keep what it gives.
    made = [workers.start(compose_shard, shard, pools, *own) for shard, own in zip(shards, texts, strict=True)]
    del shards, needed, texts
    for place, handle in enumerate(made):
        made[place] = None  # so that a shard's rows are kept until they are written, not until the end
        yield workers.get(handle)


def _shards(inputs: Inputs, workers: Workers, pairs: Sequence[pa.Table], recipe: Recipe) -> tuple[list[Any], list[Any]]:
    """Handles of each shard, and of the ids of the passages that it needs."""
    ids = pa.chunked_array([chunk for own in pairs for chunk in own["query_id"].chunks], pa.string())
    shard_of = np.repeat(np.arange(len(pairs)), [own.num_rows for own in pairs])
    places = workers.put((ids.combine_chunks(), shard_of))
    found, written = inputs.source("candidates", schemas.CANDIDATES), inputs.source("synthetic", schemas.SYNTHETIC)
    unfit = _UNFIT if recipe.mix.on_short == "borrow" else []
    candidates = _cut(found, workers, cut_candidates, len(pairs), places, unfit)
    synthetic = _cut(written, workers, cut_synthetic, len(pairs), places)
    shared = workers.put(recipe)
    planned = [
        workers.scatter(plan_shard, 2, shared, own, len(candidates[place]), *candidates[place], *synthetic[place])
        for place, own in enumerate(pairs)
    ]
    return [shard for shard, _ in planned], [needed for _, needed in planned]


def _cut(source: Source, workers: Workers, cut: Any, shards: int, *arguments: Any) -> list[list[Any]]:
    """Handles of the pieces of every shard, one of each part of the table."""
    pieces = [workers.scatter(cut, shards, part, *arguments) for part in source.split(_PARTS)]
    return [list(own) for own in zip(*pieces, strict=True)]


Places = tuple[pa.Array, np.ndarray]  # ids of queries, and the shard of each


def cut_candidates(part: Source, places: Places, unfit: Sequence[str]) -> list[pa.Table]:
    """The accepted candidates of each shard, and those that were rejected for a reason in `unfit`."""
    chosen = schemas.ACCEPTED | pc.field("reject_reason").isin(pa.array(unfit, pa.string()))
    return _by_shard(part.table(_CANDIDATE).filter(chosen), places)


def cut_synthetic(part: Source, places: Places) -> list[pa.Table]:
    """The synthetic rows of each shard, rejected ones too."""
    return _by_shard(part.table(_SYNTHETIC), places)


def cut_passages(part: Source, *needed: pa.Array) -> list[pa.Table]:
    """The passages that each shard needs: one may be needed by several."""
    rows = part.table(COLUMNS)
    return [rows.filter(pc.field("passage_id").isin(ids)) for ids in needed]


def _by_shard(rows: pa.Table, places: Places) -> list[pa.Table]:
    ids, shard_of = places
    place = rows_of(rows["query_id"], ids)
    shard = np.where(place >= 0, shard_of[place], -1)  # -1: not a training query
    order = np.argsort(shard, kind="stable")
    edges = np.searchsorted(shard[order], np.arange(shard_of[-1] + 2))
    return [rows.take(pa.array(order[edges[own] : edges[own + 1]])) for own in range(shard_of[-1] + 1)]


def plan_shard(recipe: Recipe, pairs: pa.Table, parts: int, *pieces: pa.Table) -> tuple[Shard, pa.Array]:
    """A shard, and the ids of the passages that it needs. The first `parts` of the pieces are candidates."""
    shard = Shard(pairs, pa.concat_tables(pieces[:parts]), pa.concat_tables(pieces[parts:]), recipe)
    return shard, pa.array(sorted(shard.needed), pa.string())


def lend(queries: int, shard: Shard, *passages: pa.Table) -> Pools:
    return shard.lendable(pa.concat_tables(passages), queries)


def compose_shard(shard: Shard, pools: Pools, *passages: pa.Table) -> tuple[pa.Table, Tally]:
    return shard.instances(pa.concat_tables(passages), pools)
