"""Which instances a step trains on, and how they lie in tensors. Pure: the order follows from seed, epoch and step."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NotRequired, TypedDict

import numpy as np
import torch
from torch import Tensor

from syneg.errors import StageFailed
from syneg.texts import normalized


class Negative(TypedDict):
    id: str
    text: str
    source: str
    cross_score: NotRequired[float | None]  # the teacher's, where there is one


class Instance(TypedDict):
    """A row of the instances table, as far as training reads it, with the keys of its texts."""

    query_id: str
    query: str
    positive_id: str
    positive: str
    positive_cross_score: NotRequired[float | None]
    negatives: list[Negative]
    query_key: int
    positive_key: int
    negative_keys: list[int]


@dataclass(frozen=True)
class Order:
    """The order of `instances` rows over all epochs, the same for any number of workers."""

    instances: int
    batch_size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(self.instances / self.batch_size)

    def check_shares(self, workers: int) -> None:
        """Before the first step, since the smallest may be the last.

        Raises:
            StageFailed: a step has fewer instances than there are workers.
        """
        if self.instances < workers:
            raise StageFailed(
                f"There are {self.instances:,} instances for {workers} workers, of which each needs one in every step. "
                f"Lower resources.train.max_workers to {self.instances} or less."
            )
        least = self.instances // self.steps_per_epoch
        if least < workers:
            raise StageFailed(
                f"{self.instances:,} instances in batches of {self.batch_size} are steps of {least} or more, of which "
                f"{workers} workers cannot have one each. Raise train.batch_size, or lower resources.train.max_workers."
            )

    def epoch_of(self, step: int) -> int:
        return step // self.steps_per_epoch

    def rows(self, step: int) -> np.ndarray:
        """Row numbers of one step's instances, over all workers.

        Every epoch is a new permutation, cut into batches whose sizes differ by at most one: instead of a small batch
        at the end, with fewer in-batch negatives and a noisier gradient, all batches give up a little.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        size, larger = divmod(self.instances, self.steps_per_epoch)  # the first `larger` batches have one more
        start = place * size + min(place, larger)
        return _permutation(self.instances, self.seed, epoch)[start : start + size + (place < larger)]


@lru_cache(maxsize=2)
def _permutation(instances: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(instances)


def shares(rows: np.ndarray, workers: int) -> list[np.ndarray]:
    """A step's rows by worker, in order; sizes differ by at most one, the first is the largest."""
    return np.array_split(rows, workers)


@dataclass(frozen=True)
class Batch:
    """The texts of Q instances. Passage i < Q is the positive of query i; the negatives follow by instance."""

    instances: Sequence[Instance]
    queries: list[str]
    passages: list[str]
    passage_ids: list[str]
    sources: list[str]  # of each passage: "positive", "synthetic" or a sampler's name
    candidates_QK: Tensor  # int64 rows of `passages`: the positive, the negatives, then -1 where there are fewer than K
    query_keys: np.ndarray  # int64 [Q], see `text_key`
    passage_keys: np.ndarray  # int64 [P]
    teacher_QK: Tensor  # float32: what the cross-encoder scored the `candidates_QK`, NaN where it did not


def collate(instances: Sequence[Instance]) -> Batch:
    """Lays out one worker's instances, of which there may be ones with fewer negatives or none."""
    count = len(instances)
    width = 1 + max(len(instance["negatives"]) for instance in instances)
    passages = [instance["positive"] for instance in instances]
    passage_ids = [instance["positive_id"] for instance in instances]
    passage_keys = [instance["positive_key"] for instance in instances]
    sources = ["positive"] * count
    candidates_QK, teacher_QK = torch.full((count, width), -1), torch.full((count, width), torch.nan)
    for row, instance in enumerate(instances):
        negatives = instance["negatives"]
        candidates_QK[row, 0] = row
        candidates_QK[row, 1 : 1 + len(negatives)] = torch.arange(len(passages), len(passages) + len(negatives))
        scores = [instance.get("positive_cross_score"), *(negative.get("cross_score") for negative in negatives)]
        teacher_QK[row, : len(scores)] = torch.tensor([torch.nan if score is None else score for score in scores])
        passages += [negative["text"] for negative in negatives]
        passage_ids += [negative["id"] for negative in negatives]
        passage_keys += instance["negative_keys"]
        sources += [negative["source"] for negative in negatives]
    return Batch(
        instances,
        [instance["query"] for instance in instances],
        passages,
        passage_ids,
        sources,
        candidates_QK,
        np.array([instance["query_key"] for instance in instances], np.int64),
        np.array(passage_keys, np.int64),
        teacher_QK,
    )


def text_key(text: str) -> int:
    """64 bits, equal for texts that are the same after normalisation. Two others that meet cost one negative."""
    digest = hashlib.blake2b(normalized(text).encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


@dataclass(frozen=True)
class KnownPositives:
    """Which passages answer which query, or are it, by the keys of their texts: pairs in the order of queries."""

    queries: np.ndarray  # int64 [N], sorted
    positives: np.ndarray  # int64 [N]

    @classmethod
    def of(cls, queries: np.ndarray, positives: np.ndarray) -> "KnownPositives":
        order = np.argsort(queries, kind="stable")
        return cls(queries[order], positives[order])

    def among(self, query_keys: np.ndarray, passage_keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (i, j) such that passage j has the text of a positive of query i, or of i itself. One may come twice.

        With in-batch negatives these are the false ones, apart from each instance's own positive.
        """
        asked, known = _matches(query_keys, self.queries)
        asked = np.concatenate([asked, np.arange(len(query_keys))])
        order = np.argsort(passage_keys, kind="stable")
        pair, found = _matches(np.concatenate([self.positives[known], query_keys]), passage_keys[order])
        return asked[pair], order[found]


def _matches(wanted: np.ndarray, ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs (i, j) with wanted[i] == ordered[j], where `ordered` is sorted."""
    first = np.searchsorted(ordered, wanted, side="left")
    counts = np.searchsorted(ordered, wanted, side="right") - first
    row = np.repeat(np.arange(len(wanted)), counts)
    within = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    return row, first[row] + within
