"""One step's gradients: from instances to `backward` calls. Imports neither Ray nor DeepSpeed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from syneg.encoder.encoder import Encoder, Features, Tokens
from syneg.train.batches import Batch, Instance, KnownPositives, collate, shares
from syneg.train.contrast import Contrasted, own_passages, whole_batch
from syneg.train.gradient_cache import Trainee, backward_cached
from syneg.train.peers import Peers

if TYPE_CHECKING:
    from syneg.settings.train import TrainConfig


class Rows(Protocol):
    """Where instances come from."""

    @property
    def widest(self) -> int:
        """The largest number of passages of one instance, the positive included."""
        ...

    def rows(self, numbers: np.ndarray) -> list[Instance]: ...


@dataclass(frozen=True)
class Prepared:
    """A worker's share of a step: texts laid out and cut into tokens, which takes no model."""

    instances: int  # of the whole step, over all workers
    groups: list[tuple[Batch, tuple[Tokens, ...]]]  # of queries, then of passages; each group is encoded for itself
    idle_calls: int  # how many groups fewer than another worker's


@dataclass(frozen=True)
class Scored:
    """What came out for a batch."""

    batch: Batch
    contrasted: Contrasted
    tokens: int  # without padding


@dataclass(frozen=True)
class Step:
    """Everything about a step but its instances."""

    encoder: Encoder
    trainee: Trainee
    instances: Rows
    train: "TrainConfig"
    peers: Peers
    known: KnownPositives

    def prepare(self, rows: np.ndarray) -> Prepared:
        """This worker's share of the instances `rows`, of which every worker takes its own. Another thread may call it.

        Without in-batch negatives the loss is a sum over instances, so that groups of them, of at most `chunk_size`
        passages, need no gradient cache. With them every passage meets every query: all are one group.
        There are no fewer instances than workers (`Order.check_shares`).
        """
        parts = shares(rows, self.peers.workers)
        own, most = parts[self.peers.rank], 1
        if not self.train.in_batch_negatives:
            most = math.ceil(len(parts[0]) / max(1, self._passages_at_once // self.instances.widest))
        groups = [group for group in np.array_split(own, most) if len(group)]
        batches = [collate(self.instances.rows(group)) for group in groups]
        return Prepared(len(rows), [(batch, self._tokens(batch)) for batch in batches], most - len(groups))

    def backward(self, prepared: Prepared) -> list[Scored]:
        """Adds the gradients of the mean loss over the step's instances.

        What the workers add is to be averaged over them, as data-parallel engines do. Ranks make the same number of
        calls (see `backward_cached`).
        """
        weight = self.peers.workers / prepared.instances
        *first, (batch, tokens) = prepared.groups
        scored = [self._group(*group, weight, idle_calls=0, last=False) for group in first]
        return [*scored, self._group(batch, tokens, weight, prepared.idle_calls, last=True)]

    def _group(self, batch: Batch, tokens: tuple[Tokens, ...], weight: float, idle_calls: int, last: bool) -> Scored:
        chunks, kept, order_T = self._chunks(tokens)
        if self.train.in_batch_negatives:
            calls = max(self.peers.counts(1 + len(chunks) - kept, self.encoder.device))
        else:
            kept, calls = len(chunks), 1
        found: list[Contrasted] = []

        def gradients(vectors_TD: Tensor) -> Tensor:
            rows_T = order_T.to(vectors_TD.device)
            texts_TD = vectors_TD.float()[rows_T]
            queries_QD, passages_PD = texts_TD.tensor_split([len(batch.queries)])
            contrasted = self._contrast(batch, queries_QD, passages_PD, weight)
            found.append(contrasted)
            gradients_TD = torch.empty_like(texts_TD)
            gradients_TD[rows_T] = torch.cat([contrasted.query_gradients_QD, contrasted.passage_gradients_PD])
            return gradients_TD

        backward_cached(self.trainee, chunks, kept, gradients, calls + idle_calls, last)
        return Scored(batch, found[0], sum(int(kind.lengths().sum()) for kind in tokens))

    def _tokens(self, batch: Batch) -> tuple[Tokens, ...]:
        train, encoder = self.train, self.encoder
        queries = encoder.tokenize(batch.queries, "query", train.query_max_length)
        return queries, encoder.tokenize(batch.passages, "passage", train.passage_max_length)

    def _chunks(self, tokens: Sequence[Tokens]) -> tuple[list[Features], int, Tensor]:
        """All texts in chunks of one kind and of similar length, and for each text its row among them.

        The rows [T] are in the order queries, passages. The second value is how many of the last chunks together stay
        within the limits of one: those with the longest texts, whose second forward pass would cost most.
        """
        cuts: list[tuple[Tokens, np.ndarray]] = []
        places: list[np.ndarray] = []
        for kind in tokens:
            order = np.argsort(kind.lengths(), kind="stable")
            cuts += [(kind, rows) for rows in self._cut(order, kind.lengths()[order])]
            places.append(np.argsort(order) + sum(map(len, places)))
        kept, texts, cells = 0, 0, 0
        for kind, rows in reversed(cuts):
            texts, cells = texts + len(rows), cells + len(rows) * int(kind.lengths()[rows].max())
            if kept and (texts > self.train.chunk_size or cells > self._token_limit):
                break
            kept += 1
        chunks = [self.encoder.lay_out(kind, rows) for kind, rows in cuts]
        return chunks, kept, torch.from_numpy(np.concatenate(places))

    def _cut(self, order: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
        """`order`, shortest text first, in pieces within `chunk_size` texts and `chunk_tokens` tokens with padding.

        The longest texts fill their chunk; what is left over is the first one, of the shortest.
        """
        pieces, end = [], len(order)
        while end:
            fitting = max(1, min(self.train.chunk_size, self._token_limit // int(lengths[end - 1])))
            pieces.append(order[max(0, end - fitting) : end])
            end = max(0, end - fitting)
        return pieces[::-1]

    @property
    def _passages_at_once(self) -> int:
        """Of passages as long as they may be, within the limits of one chunk."""
        return min(self.train.chunk_size, self._token_limit // self.train.passage_max_length)

    @property
    def _token_limit(self) -> int:
        return self.train.chunk_tokens or 1 << 62

    def _contrast(self, batch: Batch, queries_QD: Tensor, passages_PD: Tensor, weight: float) -> Contrasted:
        if not self.train.in_batch_negatives:
            return own_passages(self.train, batch, queries_QD, passages_PD, weight)
        peers = self.peers if self.train.cross_device_negatives else Peers()
        return whole_batch(self.train, batch, queries_QD, passages_PD, weight, peers, self.known)
