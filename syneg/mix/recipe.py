"""What goes into one instance: pure functions of one (query, positive) pair and its possible negatives."""

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeVar

from syneg.settings.mix import MixConfig
from syneg.texts import normalized

SYNTHETIC = "synthetic"
Kind = Literal["synthetic", "retrieved"]
T = TypeVar("T")


@dataclass(frozen=True)
class Negative:
    """One hard negative: an element of `negatives` in `schemas.INSTANCES`."""

    id: str
    text: str
    source: str  # "synthetic" or the sampler
    score: float | None
    rank: int | None
    cross_score: float | None = None


@dataclass(frozen=True)
class Wanted:
    """What an instance asks for. `replaceable`: a missing synthetic negative gives its place to a retrieved one."""

    synthetic: int
    retrieved: int
    replaceable: bool = False


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


def wanted(mix: MixConfig, query_id: str, positive_id: str, has_synthetic: bool) -> Wanted:
    """What the strategy gives this pair (arXiv 2412.17250, phase 2).

    One draw a pair decides, the same for every share: raising `synthetic_share` only adds pairs.
    """
    number = mix.per_instance
    lot = seeded(mix.seed, "share", query_id, positive_id).random()
    if mix.strategy == "hybrid":
        carries = lot < mix.synthetic_share
        own = mix.synthetic_per_instance if carries else 0
        return Wanted(own, number - own, replaceable=True)
    if mix.strategy == "direct":
        whole = lot < mix.synthetic_share * mix.synthetic_per_instance / number
        return Wanted(number, 0) if whole and has_synthetic else Wanted(0, number)
    if mix.strategy == "synthetic_only":
        return Wanted(number, 0)
    return Wanted(0, number)


def take_turns(queues: Sequence[Iterable[T]], quotas: Sequence[int]) -> Iterator[T]:
    """The first `quotas[0]` of the first queue, the first `quotas[1]` of the second, ..., then the next of each.

    A queue that has run out is passed over, so that another sampler fills its place.
    """
    waiting = [(iter(queue), quota) for queue, quota in zip(queues, quotas, strict=True)]
    while waiting:
        left = []
        for queue, quota in waiting:
            taken = list(islice(queue, quota))
            yield from taken
            if len(taken) == quota:
                left.append((queue, quota))
        waiting = left


def compose(
    never: Iterable[str], synthetic: Iterable[Negative], retrieved: Iterable[Negative], want: Wanted
) -> Composed:
    """The negatives of one instance: synthetic ones first, each kind in the order in which it comes.

    No text stands twice and none is empty or one of `never`, the query and the texts of all its positives.
    """
    seen = {normalized(text) for text in never} | {""}

    def fresh(negatives: Iterable[Negative]) -> Iterator[Negative]:
        for negative in negatives:
            text = normalized(negative.text)
            if text not in seen:
                seen.add(text)
                yield negative

    written = list(islice(fresh(synthetic), want.synthetic))
    lacking = want.synthetic - len(written)
    places = want.retrieved + (lacking if want.replaceable else 0)
    found = list(islice(fresh(retrieved), places))
    replaced = max(0, len(found) - want.retrieved)
    missing: dict[Kind, int] = {"synthetic": lacking - replaced, "retrieved": want.retrieved - len(found) + replaced}
    return Composed(written + found, replaced, {kind: number for kind, number in missing.items() if number})


def drawn(pool: Sequence[Negative], number: int, key: tuple[object, ...]) -> Iterator[Negative]:
    """Enough of `pool` to find `number` among them that an instance does not have yet, drawn by `key`."""
    order = seeded(*key).sample(range(len(pool)), min(len(pool), 4 * number + 32))
    return (pool[place] for place in order)


def borrow(composed: Composed, never: Iterable[str], lent: Mapping[Kind, Iterable[Negative]]) -> Composed:
    """Fills the empty places with negatives of their kind that were made for other queries; `never` as in `compose`."""
    texts = [*never, *(negative.text for negative in composed.negatives)]
    negatives = list(composed.negatives)
    missing: dict[Kind, int] = {}
    for kind, number in composed.missing.items():
        taken = compose(texts, lent[kind], (), Wanted(number, 0)).negatives
        negatives += taken
        texts += [negative.text for negative in taken]
        if len(taken) < number:
            missing[kind] = number - len(taken)
    negatives.sort(key=lambda negative: negative.source != SYNTHETIC)  # stable: synthetic ones first
    return Composed(negatives, composed.replaced, missing)
