"""Instances: every (query, positive) pair with its synthetic and retrieved negatives, texts inside."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from syneg import positives, schemas
from syneg.ids import rows_of
from syneg.mix import review
from syneg.mix.join import joined
from syneg.mix.recipe import seeded
from syneg.mix.shard import Recipe
from syneg.mix.tally import Tally
from syneg.on_ray.workers import OnRay, Workers
from syneg.settings.mine import MineConfig
from syneg.settings.mix import MixConfig
from syneg.stage import Context, Inputs, Output

# Joined this many queries at a time: a worker's memory is bounded by their candidates, whatever the corpus.
_SHARD_QUERIES = 8_192
# What short instances may borrow was made for this many queries, all of the first shard.
_LENDING_QUERIES = 4_096


def run(inputs: Inputs, context: Context, *, mine: MineConfig, mix: MixConfig) -> Output:
    """One row a training (query, positive) pair; a pair that cannot be filled keeps its reason (`mix.on_short`).

    rows_in counts the pairs. facts: `Tally.facts`, and warnings in words. Rows stand in the order of a hash of their
    queries by `mix.seed`, and shuffled within a shard of them.

    Raises:
        BadInput: a line of the review is no decision.
    """
    return mixed(inputs, context, OnRay(context.resources.mix, context.resources), mine=mine, mix=mix)


def mixed(inputs: Inputs, context: Context, workers: Workers, *, mine: MineConfig, mix: MixConfig) -> Output:
    recipe = Recipe(mine, mix, review.load(mix.review))
    pairs = pairs_to_fill(inputs, mix.seed)
    shards = list(_shards(pairs))
    tally = Tally()

    def rows() -> Iterator[pa.Table]:
        yield schemas.INSTANCES.empty_table()
        done = 0
        lending = _LENDING_QUERIES if mix.on_short == "borrow" else 0
        for instances, counts in joined(inputs, workers, shards, recipe, lending) if shards else ():
            tally.add(counts)
            done += instances.num_rows
            context.progress(f"{done:,}/{pairs.num_rows:,} pairs")
            yield instances

    def facts() -> dict[str, Any]:
        return tally.facts() | {"warnings": tally.warnings() + recipe.review.warnings(tally.struck)}

    return Output(pairs.num_rows, {"instances": rows()}, facts=facts)


def pairs_to_fill(inputs: Inputs, seed: int) -> pa.Table:
    """Every positive judgement of a training query, by a hash of the query. Columns query_id, query, passage_id,
    cross_score (null where no cross-encoder was asked), answers (all passages that answer the query's text)."""
    queries, qrels = positives.of_split(inputs.tables, "train")
    lots = pa.array([seeded(seed, query_id).random() for query_id in queries["query_id"].to_pylist()], pa.float64())
    queries = queries.append_column("lot", lots).sort_by([("lot", "ascending"), ("query_id", "ascending")])
    qrels = qrels.filter(positives.RELEVANT)
    row = rows_of(qrels["query_id"], queries["query_id"])
    order = pa.array(np.argsort(row, kind="stable"))
    pairs, of_query = qrels.take(order), queries.take(pa.array(row).take(order))
    scored = inputs.source("positives", schemas.POSITIVES).table()
    place = rows_of(_keys(pairs), _keys(scored))
    scores = scored["cross_score"].take(pa.array(place, mask=place < 0))
    answered = positives.by_text(queries, pairs).group_by("query_id").aggregate([("passage_id", "list")])
    known = answered["passage_id_list"].take(pa.array(rows_of(pairs["query_id"], answered["query_id"])))
    columns = [pairs["query_id"], of_query["text"], pairs["passage_id"], scores, known]
    return pa.table(columns, names=["query_id", "query", "passage_id", "cross_score", "answers"])


def _keys(pairs: pa.Table) -> pa.Array:
    columns = (pairs[name].to_pylist() for name in ("query_id", "passage_id"))
    return pa.array(["\0".join(pair) for pair in zip(*columns, strict=True)], pa.string())


def _shards(pairs: pa.Table) -> Iterator[pa.Table]:
    """`pairs` cut after every so many queries."""
    ids = pairs["query_id"].to_numpy()
    first_of_query = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]]) if len(ids) else np.array([], int)
    starts = first_of_query[::_SHARD_QUERIES].tolist()
    for start, end in zip(starts, [*starts[1:], pairs.num_rows], strict=True):
        yield pairs.slice(start, end - start)
