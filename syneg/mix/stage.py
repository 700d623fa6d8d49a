"""Hybrid instances: every (query, positive) pair with its synthetic and retrieved negatives, texts inside."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.compute as pc

from syneg import schemas
from syneg.mix.recipe import SYNTHETIC, Negative, compose, take_turns
from syneg.settings.mine import MineConfig
from syneg.settings.mix import MixConfig
from syneg.stage import Context, Inputs, Output
from syneg.texts import normalized, passage_text

# Joined this many queries at a time: memory is bounded by their candidates, whatever the corpus.
_SHARD_QUERIES = 20_000


def run(inputs: Inputs, context: Context, *, mine: MineConfig, mix: MixConfig) -> Output:
    """One row a training (query, positive) pair; a pair with too few negatives keeps its reason (`mix.on_short`).

    rows_in counts the pairs. facts: instances by their number of synthetic negatives, pairs whose synthetic negative
    was replaced by a retrieved one and why, negatives by source.
    """
    queries = inputs.tables["queries"].table().filter(pc.field("split") == "train")
    of_training = pc.field("query_id").isin(queries["query_id"].combine_chunks())
    pairs = inputs.tables["qrels"].table().filter((pc.field("relevance") > 0) & of_training)
    ids = sorted(pairs["query_id"].unique().to_pylist())
    tally = Tally()

    def shards() -> Iterator[pa.Table]:
        for start in range(0, len(ids), _SHARD_QUERIES):
            shard = Shard.load(inputs, queries, pairs, ids[start : start + _SHARD_QUERIES])
            yield shard.instances(mine, mix, tally)
            context.progress(f"{min(start + _SHARD_QUERIES, len(ids)):,}/{len(ids):,} queries")

    return Output(pairs.num_rows, {"instances": shards()}, facts=tally.facts)


class Tally:
    """What went into the instances, counted while they are made."""

    def __init__(self) -> None:
        self.negatives: Counter[str] = Counter()
        self.replaced: Counter[str] = Counter()
        self.with_synthetic = 0

    def add(self, negatives: Sequence[Negative], missing: int, why: str) -> None:
        sources = Counter(negative.source for negative in negatives)
        self.negatives.update(sources)
        self.with_synthetic += bool(sources[SYNTHETIC])
        if missing:
            self.replaced[why] += missing

    def facts(self) -> dict[str, object]:
        return {
            "with_synthetic": self.with_synthetic,
            "synthetic_replaced": dict(sorted(self.replaced.items())),
            "negatives": dict(sorted(self.negatives.items())),
        }


@dataclass(frozen=True)
class Shard:
    """Some queries with everything that their instances are made of."""

    queries: dict[str, str]
    positives: dict[str, list[str]]  # passage ids by query id
    texts: dict[str, str]  # of positives and candidates, by passage id
    candidates: dict[str, dict[str, list[dict]]]  # accepted rows by query id and sampler
    synthetic: dict[tuple[str, str], list[dict]]  # rows, rejected ones too, by query and positive id

    @classmethod
    def load(cls, inputs: Inputs, queries: pa.Table, pairs: pa.Table, ids: list[str]) -> "Shard":
        chosen = pc.field("query_id").isin(pa.array(ids, pa.string()))
        positives: dict[str, list[str]] = defaultdict(list)
        for row in pairs.filter(chosen).to_pylist():
            positives[row["query_id"]].append(row["passage_id"])
        candidates = inputs.tables["candidates"].where("query_id", ids)
        candidates = candidates.filter(pc.field("reject_reason").is_null())
        mined: dict[str, dict[str, list[dict]]] = defaultdict(lambda: defaultdict(list))
        for row in candidates.to_pylist():
            mined[row["query_id"]][row["sampler"]].append(row)
        synthetic: dict[tuple[str, str], list[dict]] = defaultdict(list)
        for row in inputs.tables["synthetic"].where("query_id", ids).to_pylist():
            synthetic[row["query_id"], row["positive_id"]].append(row)
        needed = set(candidates["passage_id"].to_pylist()).union(*positives.values())
        passages = inputs.tables["passages"].where("passage_id", sorted(needed))
        texts = {row["passage_id"]: passage_text(row["title"], row["text"]) for row in passages.to_pylist()}
        rows = queries.filter(chosen).to_pylist()
        return cls({row["query_id"]: row["text"] for row in rows}, positives, texts, mined, synthetic)

    def instances(self, mine: MineConfig, mix: MixConfig, tally: Tally) -> pa.Table:
        rows = [
            self._instance(query_id, positive_id, mine, mix, tally)
            for query_id, positives in self.positives.items()
            for positive_id in positives
        ]
        return pa.Table.from_pylist(rows, schema=schemas.INSTANCES)

    def _instance(self, query_id: str, positive_id: str, mine: MineConfig, mix: MixConfig, tally: Tally) -> dict:
        written = self.synthetic[query_id, positive_id]
        accepted = [row for row in written if row["reject_reason"] is None]
        synthetic = [Negative(row["negative_id"], row["text"], SYNTHETIC, None, None) for row in accepted]
        retrieved = take_turns(self._retrieved(query_id), mine.samplers, (mix.seed, query_id, positive_id))
        negatives = compose((self.texts[positive] for positive in self.positives[query_id]), synthetic, retrieved, mix)
        wanted = mix.synthetic_per_instance + mix.retrieved_per_instance
        reason = None
        if not normalized(self.texts[positive_id]):
            reason = "empty_positive"
        elif not negatives or (len(negatives) < wanted and mix.on_short == "drop"):
            reason = "too_few_negatives"
        if reason is None:
            taken = sum(negative.source == SYNTHETIC for negative in negatives)
            why = "all_rejected" if written and not accepted else "too_few_accepted" if written else "not_asked_for"
            tally.add(negatives, mix.synthetic_per_instance - taken, why)
        return {
            "query_id": query_id,
            "query": self.queries[query_id],
            "positive_id": positive_id,
            "positive": self.texts[positive_id],
            "negatives": [asdict(negative) for negative in negatives],
            "reject_reason": reason,
        }

    def _retrieved(self, query_id: str) -> dict[str, list[Negative]]:
        return {
            sampler: [
                Negative(row["passage_id"], self.texts[row["passage_id"]], sampler, row["score"], row["rank"])
                for row in rows
            ]
            for sampler, rows in self.candidates.get(query_id, {}).items()
        }
