"""Instances: every (query, positive) pair with its synthetic and retrieved negatives, texts inside."""

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from syneg.ids import rows_of
from syneg.mix import review
from syneg.mix.recipe import seeded
from syneg.mix.shard import Recipe, Shard
from syneg.mix.tally import Tally
from syneg.settings.mine import MineConfig
from syneg.settings.mix import MixConfig
from syneg.stage import Context, Inputs, Output

# Joined this many queries at a time: memory is bounded by their candidates, whatever the corpus.
_SHARD_QUERIES = 20_000
# What short instances may borrow is made from this many queries.
_LENDING_QUERIES = 4_096


def run(inputs: Inputs, context: Context, *, mine: MineConfig, mix: MixConfig) -> Output:
    """One row a training (query, positive) pair; a pair that cannot be filled keeps its reason (`mix.on_short`).

    rows_in counts the pairs. facts: `Tally.facts`.

    Raises:
        BadInput: a line of the review is no decision.
    """
    pairs = training_pairs(inputs)
    ids = sorted(pairs["query_id"].unique().to_pylist(), key=lambda name: (seeded(mix.seed, name).random(), name))
    recipe = Recipe(mine, mix, review.load(mix.review))
    if mix.on_short == "borrow":
        lender = _shard(inputs, pairs, ids[:_LENDING_QUERIES], recipe)
        recipe = replace(recipe, pools=lender.lendable(_passages(inputs, lender)))
    tally = Tally()

    def shards() -> Iterator[pa.Table]:
        for start in range(0, len(ids), _SHARD_QUERIES):
            shard = _shard(inputs, pairs, ids[start : start + _SHARD_QUERIES], recipe)
            instances, counts = shard.instances(_passages(inputs, shard))
            tally.add(counts)
            yield instances
            context.progress(f"{min(start + _SHARD_QUERIES, len(ids)):,}/{len(ids):,} queries")

    return Output(pairs.num_rows, {"instances": shards()}, facts=tally.facts)


def training_pairs(inputs: Inputs) -> pa.Table:
    """Columns query_id, query, passage_id of every positive judgement of a training query."""
    queries = inputs.tables["queries"].table().filter(pc.field("split") == "train")
    qrels = inputs.tables["qrels"].table().filter(pc.field("relevance") > 0)
    row = rows_of(qrels["query_id"], queries["query_id"])
    pairs = qrels.filter(pa.array(row >= 0))
    texts = queries["text"].take(pa.array(row[row >= 0]))
    return pa.table({"query_id": pairs["query_id"], "query": texts, "passage_id": pairs["passage_id"]})


def _shard(inputs: Inputs, pairs: pa.Table, ids: list[str], recipe: Recipe) -> Shard:
    own = pairs.filter(pc.field("query_id").isin(pa.array(ids, pa.string())))
    tables = inputs.tables
    return Shard(own, tables["candidates"].where("query_id", ids), tables["synthetic"].where("query_id", ids), recipe)


def _passages(inputs: Inputs, shard: Shard) -> pa.Table:
    return inputs.tables["passages"].where("passage_id", sorted(shard.needed))
