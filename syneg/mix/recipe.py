"""What goes into one instance: pure functions of one (query, positive) pair and its possible negatives."""

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from syneg.settings.mine import SamplerConfig
from syneg.settings.mix import MixConfig
from syneg.texts import normalized

SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class Negative:
    """One hard negative: an element of `negatives` in `schemas.INSTANCES`."""

    id: str
    text: str
    source: str  # "synthetic" or the sampler
    score: float | None
    rank: int | None


def seeded(*key: object) -> random.Random:
    """A generator that depends on `key` alone: never on blocks, order or workers."""
    digest = hashlib.blake2b("\0".join(map(str, key)).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return random.Random(int.from_bytes(digest, "little"))


def take_turns(
    by_sampler: Mapping[str, Sequence[Negative]], samplers: Mapping[Any, SamplerConfig], key: tuple[object, ...]
) -> Iterator[Negative]:
    """Retrieved negatives in the order in which instances take them: one of each sampler, then the next of each."""
    queues = []
    for name, settings in samplers.items():
        queue = sorted(by_sampler.get(name, ()), key=lambda negative: (negative.rank, negative.id))
        if settings.pick == "uniform":
            seeded(*key, name).shuffle(queue)
        queues.append(queue)
    for turn in zip_longest(*queues):
        yield from (negative for negative in turn if negative is not None)


def compose(
    positives: Iterable[str], synthetic: Sequence[Negative], retrieved: Iterable[Negative], mix: MixConfig
) -> list[Negative]:
    """The negatives of one instance (hybrid mix, arXiv 2412.17250, phase 2).

    Up to `synthetic_per_instance` synthetic ones first; a missing one is replaced by a retrieved one, so that all
    instances have the same number. No text stands twice and none is one of `positives`, the texts of all the query's
    positives. The result is short where there are too few.
    """
    wanted = mix.synthetic_per_instance + mix.retrieved_per_instance
    seen = {normalized(text) for text in positives}
    chosen: list[Negative] = []

    def take(negatives: Iterable[Negative], up_to: int) -> None:
        for negative in negatives:
            if len(chosen) >= up_to:
                return
            text = normalized(negative.text)
            if text and text not in seen:
                seen.add(text)
                chosen.append(negative)

    take(sorted(synthetic, key=lambda negative: negative.id), mix.synthetic_per_instance)
    take(retrieved, wanted)
    return chosen
