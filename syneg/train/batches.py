"""Which instances a step trains on, and how they lie in tensors. Pure: the order follows from seed, epoch and step."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from syneg.texts import normalized


class Negative(TypedDict):
    id: str
    text: str
    source: str


class Instance(TypedDict):
    """A row of the instances table, as far as training reads it."""

    query_id: str
    query: str
    positive_id: str
    positive: str
    negatives: list[Negative]


@dataclass(frozen=True)
class Order:
    """The order of `instances` rows over all epochs, the same for any number of workers."""

    instances: int
    batch_size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(self.instances / self.batch_size)

    def epoch_of(self, step: int) -> int:
        return step // self.steps_per_epoch

    def rows(self, step: int) -> np.ndarray:
        """Row numbers of one step's instances, over all workers.

        Every epoch is a new permutation, cut into batches whose sizes differ by at most one: instead of a small batch
        at the end, with fewer in-batch negatives and a noisier gradient, all batches give up a little.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        permutation = np.random.default_rng([self.seed, epoch]).permutation(self.instances)
        return np.array_split(permutation, self.steps_per_epoch)[place]


def shares(rows: np.ndarray, workers: int) -> list[np.ndarray]:
    """A step's rows by worker, in order; sizes differ by at most one, the first is the largest."""
    return np.array_split(rows, workers)


class Instances:
    """Random access to the rows of an Arrow table, which stays where it is (in Ray's shared memory)."""

    def __init__(self, table: pa.Table) -> None:
        self._blocks = table.select(list(Instance.__annotations__)).to_batches()
        self._ends = np.cumsum([block.num_rows for block in self._blocks], dtype=np.int64)
        counts = [block["negatives"].value_lengths().to_numpy() for block in self._blocks if block.num_rows]
        self.widest = 1 + max((int(negatives.max()) for negatives in counts), default=0)
        """The largest number of passages of one instance, the positive included."""

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def rows(self, numbers: np.ndarray) -> list[Instance]:
        blocks = np.searchsorted(self._ends, numbers, side="right")
        return [self._row(int(block), int(number)) for block, number in zip(blocks, numbers, strict=True)]

    def _row(self, block: int, number: int) -> Instance:
        start = int(self._ends[block - 1]) if block else 0
        row: Any = self._blocks[block].slice(number - start, 1).to_pylist()[0]
        return row


@dataclass(frozen=True)
class Batch:
    """The texts of Q instances. Passage i < Q is the positive of query i; the negatives follow by instance."""

    instances: Sequence[Instance]
    queries: list[str]
    passages: list[str]
    passage_ids: list[str]
    sources: list[str]  # of each passage: "positive", "synthetic" or a sampler's name
    candidates_QK: Tensor  # int64 rows of `passages`: the positive, the negatives, then -1 where there are fewer than K


def collate(instances: Sequence[Instance]) -> Batch:
    """Lays out one worker's instances, of which there may be ones with fewer negatives or none."""
    count = len(instances)
    width = 1 + max(len(instance["negatives"]) for instance in instances)
    passages = [instance["positive"] for instance in instances]
    passage_ids = [instance["positive_id"] for instance in instances]
    sources = ["positive"] * count
    candidates_QK = torch.full((count, width), -1)
    for row, instance in enumerate(instances):
        negatives = instance["negatives"]
        candidates_QK[row, 0] = row
        candidates_QK[row, 1 : 1 + len(negatives)] = torch.arange(len(passages), len(passages) + len(negatives))
        passages += [negative["text"] for negative in negatives]
        passage_ids += [negative["id"] for negative in negatives]
        sources += [negative["source"] for negative in negatives]
    return Batch(
        instances, [instance["query"] for instance in instances], passages, passage_ids, sources, candidates_QK
    )


def text_key(text: str) -> bytes:
    """Equal for texts that are the same after normalisation."""
    return hashlib.blake2b(normalized(text).encode("utf-8", "replace"), digest_size=12).digest()


def known_positives(table: pa.Table) -> Mapping[bytes, Collection[bytes]]:
    """The text keys of all positives, by the text key of their query."""
    positives: dict[bytes, set[bytes]] = defaultdict(set)
    for block in table.select(["query", "positive"]).to_batches():
        for query, positive in zip(block["query"].to_pylist(), block["positive"].to_pylist(), strict=True):
            positives[text_key(query)].add(text_key(positive))
    return positives


def allowed_in_batch(
    batch: Batch, passages: Sequence[str], first: int, positives: Mapping[bytes, Collection[bytes]]
) -> Tensor:
    """Which of the P `passages` of all instances may stand against each of the batch's queries: bool [Q, P].

    The batch's own passages begin at row `first`. A passage with the text of one of the query's positives is a false
    negative and is left out, unless it is that instance's positive itself.
    """
    places: dict[bytes, list[int]] = defaultdict(list)
    for place, passage in enumerate(passages):
        places[text_key(passage)].append(place)
    allowed_QP = torch.ones(len(batch.queries), len(passages), dtype=torch.bool)
    for row, query in enumerate(batch.queries):
        for positive in positives[text_key(query)]:
            allowed_QP[row, places.get(positive, [])] = False
        allowed_QP[row, first + row] = True
    return allowed_QP
