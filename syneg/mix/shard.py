"""Some queries with everything that their instances are made of, and the instances. Pure: tables in, a table out."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any, NamedTuple

import pyarrow as pa

from syneg import schemas
from syneg.mix.compose import (
    Composed,
    Kind,
    Negative,
    Text,
    Wanted,
    borrow,
    compose,
    drawn,
    keys_of,
    seeded,
    take_turns,
    wanted,
)
from syneg.mix.review import Review
from syneg.mix.tally import Tally
from syneg.passages import COLUMNS
from syneg.settings.mine import MineConfig
from syneg.settings.mix import MixConfig
from syneg.texts import normalized

# Candidates looked at beyond those wanted: what a person struck is passed over.
_SPARE = 16

Key = tuple[str, str]  # query_id, positive_id
Pools = Mapping[Kind, Sequence[Negative]]  # what short instances may borrow


@dataclass(frozen=True)
class Recipe:
    """What is the same for every shard."""

    mine: MineConfig
    mix: MixConfig
    review: Review = field(default_factory=Review)

    @property
    def samplers(self) -> dict[str, Any]:
        """Settings of those that give negatives, in the order of their turns."""
        return {
            name: found for name, found in self.mine.samplers.items() if not self.mix.quotas or name in self.mix.quotas
        }


class Found(NamedTuple):
    """A candidate of a query, without its text."""

    passage_id: str
    sampler: str
    score: float | None
    rank: int
    cross_score: float | None

    def with_text(self, texts: Mapping[str, Text]) -> Negative:
        return Negative(self.passage_id, texts[self.passage_id], self.sampler, self.score, self.rank, self.cross_score)


class Shard:
    """The pairs of some queries (`stage.pairs_to_fill`), in the order of their instances.

    candidates and synthetic are the rows of these queries in any order: accepted candidates, rejected ones that must
    not be borrowed either, and all synthetic ones. Of the accepted candidates only those stay that an instance can come
    to. `needed` are the passages whose texts it takes.
    """

    def __init__(self, pairs: pa.Table, candidates: pa.Table, synthetic: pa.Table, recipe: Recipe) -> None:
        self._recipe = recipe
        self._queries: dict[str, str] = {}
        self._answers: dict[str, set[str]] = defaultdict(set)
        self._cross_scores: dict[Key, float | None] = {}
        for row in pairs.to_pylist():
            self._queries[row["query_id"]] = row["query"]
            self._answers[row["query_id"]].update(row["answers"])
            self._cross_scores[row["query_id"], row["passage_id"]] = row["cross_score"]
        seed = recipe.mix.seed
        self._keys = sorted(self._cross_scores, key=lambda key: (seeded(seed, "order", *key).random(), key))
        self._asked: Counter[Key] = Counter()
        self._written: dict[Key, list[Negative]] = defaultdict(list)
        for row in synthetic.sort_by("negative_id").to_pylist():
            key = (row["query_id"], row["positive_id"])
            self._asked[key] += 1
            if row["reject_reason"] is None:
                self._written[key].append(Negative(row["negative_id"], Text("", row["text"]), schemas.SYNTHETIC_SOURCE))
        self._unfit: dict[str, set[str]] = defaultdict(set)  # passages that mining rejected, by query
        rejected = candidates.filter(~schemas.ACCEPTED)
        for query_id, passage in zip(*(rejected[name].to_pylist() for name in ("query_id", "passage_id")), strict=True):
            self._unfit[query_id].add(passage)
        queues = _queues(candidates.filter(schemas.ACCEPTED))
        self._found = {key: self._shortlist(key, queues) for key in self._keys}
        self.needed = set[str]().union(*self._answers.values())
        self.needed |= {found.passage_id for shortlist in self._found.values() for found in shortlist}
        self.needed.update(*self._unfit.values())

    def _shortlist(self, key: Key, queues: Mapping[Key, Sequence[Found]]) -> list[Found]:
        """The candidates of a pair in the order in which its instance takes them."""
        mix, seen = self._recipe.mix, set[str]()

        def fresh(queue: Sequence[Found]) -> Iterator[Found]:
            """At its turn a sampler gives what no other has given."""
            for one in queue:
                if one.passage_id not in seen:
                    seen.add(one.passage_id)
                    yield one

        own: list[Iterator[Found]] = []
        for sampler, settings in self._recipe.samplers.items():
            queue = queues.get((key[0], sampler), ())
            drawn = seeded(mix.seed, *key, sampler).sample(queue, len(queue)) if settings.pick == "uniform" else queue
            own.append(fresh(drawn))
        quotas = [mix.quotas.get(sampler, 1) for sampler in self._recipe.samplers]
        start = seeded(mix.seed, "turns", *key).randrange(sum(quotas)) if quotas else 0
        # Last come the random passages that mining gave to a query for which it found too few (`mine.on_short`).
        fills = self._recipe.mine.on_short == "random" and "random" not in self._recipe.samplers
        filled = queues.get((key[0], "random"), ()) if fills else ()
        # A sampler brings no text twice, so that among these are enough different ones, if there are.
        most = mix.per_instance and mix.per_instance * (len(own) + 1) + _SPARE
        return list(islice(chain(take_turns(own, quotas, start), fresh(filled)), most))

    def instances(self, passages: pa.Table, pools: Pools) -> tuple[pa.Table, Tally]:
        """One row a pair, shuffled by `mix.seed`. `passages` holds at least those that are `needed`."""
        texts = _texts(passages)
        tally = Tally()
        rows = [self._instance(key, texts, pools, tally) for key in self._keys]
        return pa.Table.from_pylist(rows, schema=schemas.INSTANCES), tally

    def _instance(self, key: Key, texts: Mapping[str, Text], pools: Pools, tally: Tally) -> dict:
        query_id, positive_id = key
        mix, review = self._recipe.mix, self._recipe.review
        never = keys_of([*(texts[answer] for answer in self._answers[query_id]), Text("", self._queries[query_id])])

        def eligible(negatives: Iterable[Negative]) -> Iterator[Negative]:
            for negative in negatives:
                if review.rejects_negative(key, negative.id):
                    tally.struck.add((*key, negative.id))
                elif negative.id != query_id:  # a passage that is the query itself, with a title before its text
                    yield negative

        written = compose(never, eligible(self._written.get(key, ())), (), Wanted(mix.per_instance, 0)).negatives
        want = wanted(mix, query_id, positive_id, len(written))
        found = (one.with_text(texts) for one in self._found[key])
        composed = compose(never, written, eligible(found), want)
        if mix.on_short == "borrow":
            unfit = keys_of(texts[passage] for passage in self._unfit.get(query_id, ()))
            lent: dict[Kind, Iterator[Negative]] = {
                kind: eligible(drawn(pools[kind], number, (mix.seed, "borrow", kind, *key)))
                for kind, number in composed.missing.items()
            }
            composed = borrow(composed, never | unfit, lent)
        reason = self._reason(key, composed, texts)
        why = self._why_short(key)
        tally.count(composed, why, reason)
        if reason == "rejected_in_review":
            tally.struck.add(key)
        return {
            "query_id": query_id,
            "query": self._queries[query_id],
            "positive_id": positive_id,
            "positive": texts[positive_id].whole,
            "positive_cross_score": self._cross_scores[key],
            "negatives": [negative.as_row() for negative in composed.negatives],
            "short": ", ".join(f"{kind}: {why[kind]}" for kind in composed.missing) or None,
            "reject_reason": reason,
        }

    def _reason(self, key: Key, composed: Composed, texts: Mapping[str, Text]) -> str | None:
        if self._recipe.review.rejects(key):
            return "rejected_in_review"
        if not normalized(texts[key[1]].whole):
            return "empty_positive"
        if composed.missing and (self._recipe.mix.on_short != "keep" or not composed.negatives):
            # Under hybrid a retrieved one stands in for a synthetic one: then it is these that are too few.
            kind = "synthetic" if "retrieved" not in composed.missing else "retrieved"
            return f"too_few_{kind}"
        return None

    def _why_short(self, key: Key) -> dict[Kind, str]:
        """Why a pair has no more negatives of its own."""
        asked = "all_rejected" if self._asked[key] else "not_asked_for"
        return {
            "synthetic": "too_few_accepted" if self._written.get(key) else asked,
            "retrieved": "too_few_found" if self._found[key] else "none_found",
        }

    def lendable(self, passages: pa.Table, queries: int) -> Pools:
        """What instances of other queries may borrow: of the first `queries` the accepted synthetic negatives, and the
        first retrieved one of each pair.

        Scores and rank are those of the query that it was made for, so they are left out.
        """
        texts = _texts(passages)
        lenders = set(islice(self._queries, queries))
        keys = sorted(key for key in self._keys if key[0] in lenders)
        first = {self._found[key][0].passage_id: (self._found[key][0], key[0]) for key in keys if self._found[key]}
        return {
            "synthetic": [
                replace(negative, borrowed_from=key[0]) for key in keys for negative in self._written.get(key, ())
            ],
            "retrieved": [
                Negative(passage, texts[passage], found.sampler, borrowed_from=query_id)
                for passage, (found, query_id) in sorted(first.items())
            ],
        }


def _queues(candidates: pa.Table) -> dict[Key, list[Found]]:
    """The candidates by query and sampler, best first."""
    order = [(name, "ascending") for name in ("query_id", "sampler", "rank", "passage_id")]
    rows = candidates.sort_by(order)
    columns = (rows[name].to_pylist() for name in ("query_id", *Found._fields))
    queues: dict[Key, list[Found]] = defaultdict(list)
    for query_id, *found in zip(*columns, strict=True):
        own = Found(*found)
        queues[query_id, own.sampler].append(own)
    return queues


def _texts(passages: pa.Table) -> dict[str, Text]:
    columns = (passages[name].to_pylist() for name in COLUMNS)
    return {passage_id: Text(title, text) for passage_id, title, text in zip(*columns, strict=True)}
