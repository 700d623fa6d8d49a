"""One step's gradients: from instances to `backward` calls. Imports neither Ray nor DeepSpeed."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from syneg.encoder.encoder import Encoder, Features
from syneg.encoder.recipe import Kind
from syneg.errors import StageFailed
from syneg.settings.train import TrainConfig
from syneg.train.batches import Batch, Instances, allowed_in_batch, collate, shares
from syneg.train.gather import gather_rows
from syneg.train.gradient_cache import Loss, Trainee, backward_cached, backward_whole
from syneg.train.loss import info_nce, own_scores

# From the vectors of queries and passages to each query's loss [Q] and its scores with its own passages [Q, K].
Contrast = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Place:
    """This worker among all."""

    rank: int = 0
    workers: int = 1


@dataclass(frozen=True)
class Scored:
    """What came out for a batch: each query's loss [Q], and its scores [Q, K] with its own passages. No graph."""

    batch: Batch
    losses_Q: Tensor
    scores_QK: Tensor


@dataclass(frozen=True)
class Step:
    """Everything about a step but its instances. `positives` are the known ones, by query (see `known_positives`)."""

    encoder: Encoder
    trainee: Trainee
    instances: Instances
    train: TrainConfig
    place: Place
    positives: Mapping[bytes, Collection[bytes]]

    def backward(self, rows: np.ndarray) -> list[Scored]:
        """Adds the gradients of the mean loss over the instances `rows`, of which every worker takes its share.

        What the workers add is to be averaged over them, as data-parallel engines do. Ranks make the same number of
        calls (see `backward_cached`).

        Raises:
            StageFailed: there are fewer instances than workers, or a loss is not a finite number.
        """
        if len(rows) < self.place.workers:
            raise StageFailed(
                f"A step has {len(rows)} instances for {self.place.workers} workers. "
                "Raise train.batch_size, or lower resources.train.max_workers."
            )
        parts = shares(rows, self.place.workers)
        weight = self.place.workers / len(rows)
        if self.train.in_batch_negatives:
            return [self._whole_share(parts, weight)]
        return self._by_groups(parts, weight)

    def _by_groups(self, parts: Sequence[np.ndarray], weight: float) -> list[Scored]:
        """Without in-batch negatives the loss is a sum over instances: groups of them need no gradient cache.

        A group holds at most `chunk_size` passages. A rank with fewer groups than others adds calls of weight 0.
        """
        per_group = max(1, self.train.chunk_size // self.instances.widest)
        calls = math.ceil(len(parts[0]) / per_group)
        groups = [group for group in np.array_split(parts[self.place.rank], calls) if len(group)]
        scored: list[Scored] = []
        for call in range(calls):
            batch = collate(self.instances.rows(groups[min(call, len(groups) - 1)]))
            chunks, order_T = self._chunks(batch, len(batch.passages))
            loss = self._loss(batch, self._own_passages(batch), order_T, weight * (call < len(groups)), scored)
            backward_whole(self.trainee, chunks, loss, last=call == calls - 1)
        return scored[: len(groups)]

    def _whole_share(self, parts: Sequence[np.ndarray], weight: float) -> Scored:
        """With in-batch negatives every passage meets every query, which takes a gradient cache."""
        batches = [collate(self.instances.rows(part)) for part in parts]
        batch = batches[self.place.rank]
        size = self.train.chunk_size
        calls = max(math.ceil(len(b.queries) / size) + math.ceil(len(b.passages) / size) for b in batches)
        chunks, order_T = self._chunks(batch, size)
        scored: list[Scored] = []
        loss = self._loss(batch, self._all_passages(batches), order_T, weight, scored)
        if calls == 2:  # one chunk of queries and one of passages, on all ranks
            backward_whole(self.trainee, chunks, loss, last=True)
        else:
            backward_cached(self.trainee, chunks, loss, calls)
        return scored[0]

    def _chunks(self, batch: Batch, size: int) -> tuple[list[Features], Tensor]:
        """All texts in chunks of one kind and of similar length, and for each text its row among them.

        The rows [T] are in the order queries, passages.
        """
        chunks: list[Features] = []
        places: list[np.ndarray] = []
        kinds: tuple[tuple[Kind, list[str], int], ...] = (
            ("query", batch.queries, self.train.query_max_length),
            ("passage", batch.passages, self.train.passage_max_length),
        )
        for kind, texts, max_length in kinds:
            tokens = self.encoder.tokenize(texts, kind, max_length)
            order = np.argsort(-tokens.lengths(), kind="stable")
            chunks += [self.encoder.pad(tokens, order[start : start + size]) for start in range(0, len(order), size)]
            places.append(np.argsort(order) + sum(map(len, places)))
        return chunks, torch.from_numpy(np.concatenate(places))

    def _loss(self, batch: Batch, contrast: Contrast, order_T: Tensor, weight: float, scored: list[Scored]) -> Loss:
        """The weighted sum of the batch's losses; what it computed on the way is added to `scored`."""

        def loss(vectors_TD: Tensor) -> Tensor:
            texts_TD = vectors_TD.float()[order_T.to(vectors_TD.device)]
            losses_Q, scores_QK = contrast(*texts_TD.split([len(batch.queries), len(batch.passages)]))
            _check_finite(batch, losses_Q)
            scored.append(Scored(batch, losses_Q.detach(), scores_QK.detach()))
            return losses_Q.sum() * weight

        return loss

    def _own_passages(self, batch: Batch) -> Contrast:
        """The paper's: a query against its own passages."""

        def contrast(queries_QD: Tensor, passages_PD: Tensor) -> tuple[Tensor, Tensor]:
            candidates_QK = batch.candidates_QK.to(queries_QD.device)
            scores_QK = own_scores(queries_QD, passages_PD, candidates_QK)
            positive_Q = torch.zeros_like(candidates_QK[:, 0])
            return info_nce(scores_QK, positive_Q, candidates_QK >= 0, self.train.temperature), scores_QK

        return contrast

    def _all_passages(self, batches: Sequence[Batch]) -> Contrast:
        """A query against the passages of its worker's instances, or of all workers'."""
        batch = batches[self.place.rank]
        together = batches if self.train.cross_device_negatives else [batch]
        counts = [len(each.passages) for each in together]
        first = sum(counts[: self.place.rank]) if self.train.cross_device_negatives else 0
        passages = [passage for each in together for passage in each.passages]
        allowed_QP = allowed_in_batch(batch, passages, first, self.positives)

        def contrast(queries_QD: Tensor, passages_PD: Tensor) -> tuple[Tensor, Tensor]:
            if len(counts) > 1:
                passages_PD = gather_rows(passages_PD, counts)
            scores_QP = queries_QD @ passages_PD.T
            candidates_QK = batch.candidates_QK.to(scores_QP.device)
            allowed = allowed_QP.to(scores_QP.device)
            losses_Q = info_nce(scores_QP, candidates_QK[:, 0] + first, allowed, self.train.temperature)
            return losses_Q, scores_QP.gather(1, candidates_QK.clamp(min=0) + first)

        return contrast


def _check_finite(batch: Batch, losses_Q: Tensor) -> None:
    broken = [batch.instances[row] for row in (~losses_Q.isfinite()).nonzero().flatten().tolist()]
    if broken:
        rows = ", ".join(f"({instance['query_id']}, {instance['positive_id']})" for instance in broken)
        raise StageFailed(
            f"The loss is not a finite number for {len(broken)} of {len(losses_Q)} instances, (query, positive): "
            f"{rows}. Lower train.learning_rate, or raise train.temperature."
        )
