"""Some queries with everything that their instances are made of, and the instances. Pure: tables in, a table out."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from syneg import schemas
from syneg.mix.recipe import SYNTHETIC, Composed, Kind, Negative, borrow, compose, drawn, seeded, take_turns, wanted
from syneg.mix.review import Review
from syneg.mix.tally import Tally
from syneg.settings.mine import MineConfig, SamplerConfig
from syneg.settings.mix import MixConfig
from syneg.texts import normalized, passage_text

# Candidates looked at beyond those wanted. The miner lets no text through twice, so few are ever passed over.
_SPARE = 16


@dataclass(frozen=True)
class Recipe:
    """What is the same for every shard. `pools`: what short instances may borrow, by kind."""

    mine: MineConfig
    mix: MixConfig
    review: Review = field(default_factory=Review)
    pools: Mapping[Kind, Sequence[Negative]] = field(default_factory=dict)

    @property
    def samplers(self) -> dict[str, SamplerConfig]:
        """Those that give negatives, in the order of their turns."""
        return {
            name: found for name, found in self.mine.samplers.items() if not self.mix.quotas or name in self.mix.quotas
        }

    @property
    def quotas(self) -> list[int]:
        """Negatives of each of `samplers` at its turn."""
        return [self.mix.quotas.get(name, 1) for name in self.samplers]


class Candidates:
    """The accepted candidates of a shard, by query and sampler, best first."""

    def __init__(self, rows: pa.Table) -> None:
        keys = ("query_id", "sampler", "rank", "passage_id")
        rows = rows.filter(pc.field("reject_reason").is_null()).sort_by([(key, "ascending") for key in keys])
        self.passage_ids: list[str] = rows["passage_id"].to_pylist()
        self._ranks, self._scores = rows["rank"].to_pylist(), rows["score"].to_pylist()
        self._samplers: list[str] = rows["sampler"].to_pylist()
        self._places: dict[tuple[str, str], range] = {}
        for place, key in enumerate(zip(rows["query_id"].to_pylist(), self._samplers, strict=True)):
            self._places[key] = range(self._places.get(key, range(place, place)).start, place + 1)

    def of(self, query_id: str, sampler: str) -> range:
        return self._places.get((query_id, sampler), range(0))

    def negative(self, place: int, texts: Mapping[str, str]) -> Negative:
        passage_id = self.passage_ids[place]
        return Negative(passage_id, texts[passage_id], self._samplers[place], self._scores[place], self._ranks[place])


class Shard:
    """The pairs (query_id, query, passage_id) of some queries, with the candidates and synthetic rows of these queries.

    `needed` are the passages whose texts `instances` takes.
    """

    def __init__(self, pairs: pa.Table, candidates: pa.Table, synthetic: pa.Table, recipe: Recipe) -> None:
        self._recipe = recipe
        self._candidates = Candidates(candidates)
        self._queries = dict(zip(pairs["query_id"].to_pylist(), pairs["query"].to_pylist(), strict=True))
        self._positives: dict[str, list[str]] = defaultdict(list)
        for query_id, passage_id in zip(pairs["query_id"].to_pylist(), pairs["passage_id"].to_pylist(), strict=True):
            self._positives[query_id].append(passage_id)
        self._asked: Counter[tuple[str, str]] = Counter()
        self._written: dict[tuple[str, str], list[Negative]] = defaultdict(list)
        for row in synthetic.sort_by("negative_id").to_pylist():
            key = (row["query_id"], row["positive_id"])
            self._asked[key] += 1
            if row["reject_reason"] is None:
                self._written[key].append(Negative(row["negative_id"], row["text"], SYNTHETIC, None, None))
        mix = recipe.mix
        keys = [(query_id, positive) for query_id, found in self._positives.items() for positive in found]
        self._keys = sorted(keys, key=lambda key: seeded(mix.seed, "order", *key).random())
        self._found = {key: self._shortlist(*key) for key in self._keys}
        self.needed = {positive for _, positive in keys}
        self.needed |= {self._candidates.passage_ids[place] for places in self._found.values() for place in places}

    def _shortlist(self, query_id: str, positive_id: str) -> list[int]:
        """The candidates of a pair in the order in which its instance takes them."""
        queues: list[Sequence[int]] = []
        for sampler, settings in self._recipe.samplers.items():
            places = self._candidates.of(query_id, sampler)
            key = (self._recipe.mix.seed, query_id, positive_id, sampler)
            queues.append(seeded(*key).sample(places, len(places)) if settings.pick == "uniform" else places)
        limit = self._recipe.mix.per_instance
        return list(islice(take_turns(queues, self._recipe.quotas), limit and limit + _SPARE))

    def instances(self, passages: pa.Table) -> tuple[pa.Table, Tally]:
        """One row a pair, shuffled by `mix.seed`. `passages` holds at least those that are `needed`."""
        columns = (passages[name].to_pylist() for name in ("passage_id", "title", "text"))
        texts = {passage_id: passage_text(title, text) for passage_id, title, text in zip(*columns, strict=True)}
        tally = Tally()
        rows = [self._instance(key, texts, tally) for key in self._keys]
        return pa.Table.from_pylist(rows, schema=schemas.INSTANCES), tally

    def _instance(self, key: tuple[str, str], texts: Mapping[str, str], tally: Tally) -> dict:
        query_id, positive_id = key
        mix, review = self._recipe.mix, self._recipe.review
        positives = [texts[positive] for positive in self._positives[query_id]]

        def unstruck(negatives: Iterable[Negative]) -> Iterator[Negative]:
            for negative in negatives:
                if review.rejects_negative(key, negative.id):
                    tally.struck += 1
                else:
                    yield negative

        want = wanted(mix, query_id, positive_id, bool(self._written[key]))
        found = (self._candidates.negative(place, texts) for place in self._found[key])
        composed = compose(positives, unstruck(self._written[key]), unstruck(found), want)
        lacking = composed.missing
        if mix.on_short == "borrow":
            lent: dict[Kind, Iterable[Negative]] = {
                kind: unstruck(drawn(self._recipe.pools[kind], number, (mix.seed, "borrow", kind, *key)))
                for kind, number in composed.missing.items()
            }
            composed = borrow(composed, positives, lent)
        reason = self._reason(key, composed, texts)
        if reason is None:
            tally.count(composed)
        if reason not in ("empty_positive", "rejected_in_review"):
            self._explain(key, composed, lacking, tally)
        return {
            "query_id": query_id,
            "query": self._queries[query_id],
            "positive_id": positive_id,
            "positive": texts[positive_id],
            "negatives": [asdict(negative) for negative in composed.negatives],
            "reject_reason": reason,
        }

    def _reason(self, key: tuple[str, str], composed: Composed, texts: Mapping[str, str]) -> str | None:
        if self._recipe.review.rejects(key):
            return "rejected_in_review"
        if not normalized(texts[key[1]]):
            return "empty_positive"
        if composed.missing and (self._recipe.mix.on_short != "keep" or not composed.negatives):
            return f"too_few_{'synthetic' if 'synthetic' in composed.missing else 'retrieved'}"
        return None

    def _explain(self, key: tuple[str, str], composed: Composed, lacking: Mapping[Kind, int], tally: Tally) -> None:
        """Counts the places that a negative of their own kind could not fill, by why."""
        accepted = len(self._written[key])
        why = "too_few_accepted" if accepted else "all_rejected" if self._asked[key] else "not_asked_for"
        if composed.replaced:
            tally.replaced[why] += composed.replaced
        for kind, number in lacking.items():
            borrowed = number - composed.missing.get(kind, 0)
            if borrowed:
                tally.borrowed[kind] += borrowed
            if borrowed < number:
                cause = why if kind == "synthetic" else "too_few_found" if self._found[key] else "none_found"
                tally.short[f"{kind}: {cause}"] += 1

    def lendable(self, passages: pa.Table) -> dict[Kind, list[Negative]]:
        """What other queries' instances may borrow: accepted synthetic negatives, and the first retrieved of a pair.

        Score and rank are those of the query that it was made for, so they are left out.
        """
        columns = (passages[name].to_pylist() for name in ("passage_id", "title", "text"))
        texts = {passage_id: passage_text(title, text) for passage_id, title, text in zip(*columns, strict=True)}
        first = {places[0] for places in self._found.values() if places}
        found = (self._candidates.negative(place, texts) for place in sorted(first))
        written = [negative for key in sorted(self._written) for negative in self._written[key]]
        return {
            "synthetic": written,
            "retrieved": [Negative(one.id, one.text, one.source, None, None) for one in found],
        }
