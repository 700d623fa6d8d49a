"""What goes into one instance: pure functions of one (query, positive) pair and its possible negatives."""

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Literal, NamedTuple, TypeVar

from syneg.schemas import SYNTHETIC_SOURCE
from syneg.settings.mix import MixConfig
from syneg.texts import body_of, normalized, passage_text

Kind = Literal["synthetic", "retrieved"]
T = TypeVar("T")


class Text(NamedTuple):
    """A passage, or what was written like one: then it has no title."""

    title: str
    body: str

    @property
    def whole(self) -> str:
        return passage_text(self.title, self.body)

    @property
    def keys(self) -> set[str]:
        """Two texts that share one are the same, under whatever title, as mining has it."""
        return {normalized(self.whole), body_of(self.title, self.body)}


@dataclass(frozen=True)
class Negative:
    """One hard negative."""

    id: str
    text: Text
    source: str  # "synthetic" or the sampler
    score: float | None = None
    rank: int | None = None
    cross_score: float | None = None
    borrowed_from: str | None = None  # the query that it was made for, if another

    def as_row(self) -> dict[str, Any]:
        """An element of `negatives` in `schemas.INSTANCES`."""
        return {**vars(self), "text": self.text.whole}


@dataclass(frozen=True)
class Wanted:
    """What an instance asks for.

    replaceable: a missing synthetic negative gives its place to a retrieved one; given: so many did already.
    """

    synthetic: int
    retrieved: int
    replaceable: bool = False
    given: int = 0


@dataclass(frozen=True)
class Composed:
    """What an instance got. `replaced` synthetic places went to retrieved negatives; `missing` ones stayed empty."""

    negatives: list[Negative]
    replaced: int
    missing: dict[Kind, int]


def seeded(*key: object) -> random.Random:
    """A generator that depends on `key` alone: never on blocks, order or workers."""
    digest = hashlib.blake2b("\0".join(map(str, key)).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return random.Random(int.from_bytes(digest, "little"))


def wanted(mix: MixConfig, query_id: str, positive_id: str, written: int) -> Wanted:
    """What the strategy gives this pair, for which so many synthetic negatives were `written` and accepted
    (arXiv 2412.17250, phase 2).

    One draw a pair decides, the same for every share: raising `synthetic_share` only adds pairs.
    """
    number = mix.per_instance
    lot = seeded(mix.seed, "share", query_id, positive_id).random()
    if mix.strategy == "hybrid":
        carries = lot < mix.synthetic_share
        own = mix.synthetic_per_instance if carries else 0
        return Wanted(own, number - own, replaceable=True)
    if mix.strategy == "direct":
        drawn = lot < mix.synthetic_share * mix.synthetic_per_instance / number
        enough = written >= (number if mix.on_short == "drop" else 1)
        if drawn:
            return Wanted(number, 0) if enough else Wanted(0, number, given=number)
        return Wanted(0, number)
    if mix.strategy == "synthetic_only":
        return Wanted(number, 0)
    return Wanted(0, number)


def take_turns(queues: Sequence[Iterable[T]], quotas: Sequence[int], start: int) -> Iterator[T]:
    """Round after round `quotas[0]` of the first queue, `quotas[1]` of the second, ...

    start: the place of a round, of sum(quotas), at which it begins. Drawn by instance it lets each sampler have its
    share also where an instance takes fewer than a round gives. A queue that has run out is passed over, so that
    another sampler fills its place.
    """
    own = [[iter(queue)] * quota for queue, quota in zip(queues, quotas, strict=True)]
    turns = list(chain.from_iterable(own))
    turns = turns[start:] + turns[:start]
    while turns:
        left = []
        for queue in turns:
            taken = list(islice(queue, 1))
            yield from taken
            if taken:
                left.append(queue)
        turns = left


def keys_of(texts: Iterable[Text]) -> set[str]:
    return set[str]().union(*(text.keys for text in texts))


def compose(
    never: AbstractSet[str], synthetic: Iterable[Negative], retrieved: Iterable[Negative], want: Wanted
) -> Composed:
    """The negatives of one instance: synthetic ones first, each kind in the order in which it comes.

    No text appears twice and none is empty or one of `never`, the keys of the query and of all its positives.
    """
    seen = {"", *never}

    def fresh(negatives: Iterable[Negative]) -> Iterator[Negative]:
        for negative in negatives:
            keys = negative.text.keys
            if seen.isdisjoint(keys):
                seen.update(keys)
                yield negative

    written = list(islice(fresh(synthetic), want.synthetic))
    lacking = want.synthetic - len(written)
    places = want.retrieved + (lacking if want.replaceable else 0)
    found = list(islice(fresh(retrieved), places))
    more = max(0, len(found) - want.retrieved)
    missing: dict[Kind, int] = {"synthetic": lacking - more, "retrieved": want.retrieved - len(found) + more}
    return Composed(written + found, more + want.given, {kind: number for kind, number in missing.items() if number})


def drawn(pool: Sequence[Negative], number: int, key: tuple[object, ...]) -> Iterator[Negative]:
    """Enough of `pool` to find `number` among them that an instance does not have yet, drawn by `key`."""
    order = seeded(*key).sample(range(len(pool)), min(len(pool), 4 * number + 32))
    return (pool[place] for place in order)


def borrow(composed: Composed, never: AbstractSet[str], lent: Mapping[Kind, Iterable[Negative]]) -> Composed:
    """Fills the empty places with negatives of their kind that were made for other queries; `never` as in `compose`."""
    seen = never | keys_of(negative.text for negative in composed.negatives)
    negatives = list(composed.negatives)
    missing: dict[Kind, int] = {}
    for kind, number in composed.missing.items():
        taken = compose(seen, lent[kind], (), Wanted(number, 0)).negatives
        negatives += taken
        seen |= keys_of(negative.text for negative in taken)
        if len(taken) < number:
            missing[kind] = number - len(taken)
    negatives.sort(key=lambda negative: negative.source != SYNTHETIC_SOURCE)  # stable: synthetic ones first
    return Composed(negatives, composed.replaced, missing)
