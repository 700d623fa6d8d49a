"""From the vectors of a batch to each query's loss and the gradient of every vector, a block of queries at a time.

Q queries of this worker, P passages of this worker, A passages (or queries) of all workers, B queries of a block.
The scores of a block are the largest thing that is held, so memory does not grow with the square of the batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from syneg.train.batches import Batch, KnownPositives
from syneg.train.loss import above_positive, distilled, info_nce, own_scores, truncated
from syneg.train.peers import Peers

if TYPE_CHECKING:
    from syneg.settings.train import TrainConfig

# Scores held at once. On a CPU a block that leaves the caches gains nothing; a GPU wants large products.
_CELLS = {"cpu": 1 << 19, "cuda": 1 << 26}


@dataclass(frozen=True)
class Contrasted:
    """What came out for a batch. No graph."""

    losses_Q: Tensor
    scores_QK: Tensor  # with the own passages; means nothing where there are fewer than K
    masses_QK: Tensor  # the probability that the model gives to each of them among all candidates of the query
    query_gradients_QD: Tensor
    passage_gradients_PD: Tensor


def own_passages(
    train: "TrainConfig", batch: Batch, queries_QD: Tensor, passages_PD: Tensor, weight: float
) -> Contrasted:
    """The paper's: each query against its own passages. The gradients are those of the losses' sum times `weight`."""
    queries_QD, passages_PD = _leaf(queries_QD), _leaf(passages_PD)
    candidates_QK = batch.candidates_QK.to(queries_QD.device)
    allowed_QK = candidates_QK >= 0
    positive_Q = torch.zeros_like(candidates_QK[:, 0])
    losses: list[Tensor] = []
    scores_QK = torch.empty(0)
    for size in _sizes(train, queries_QD):
        scores_QK = own_scores(truncated(queries_QD, size), truncated(passages_PD, size), candidates_QK)
        losses.append(info_nce(scores_QK, positive_Q, allowed_QK, train.temperature))
    losses_Q = torch.stack(losses).mean(dim=0) + _distillation(train, scores_QK, batch.teacher_QK)
    masses_QK = _masses(scores_QK, allowed_QK, losses[-1], train.temperature)
    (losses_Q.sum() * weight).backward()
    return _contrasted(losses_Q, scores_QK, masses_QK, _gradient(queries_QD), _gradient(passages_PD))


def whole_batch(
    train: "TrainConfig",
    batch: Batch,
    queries_QD: Tensor,
    passages_PD: Tensor,
    weight: float,
    peers: Peers,
    known: KnownPositives,
) -> Contrasted:
    """In-batch negatives: each query against the passages of all `peers`; with both directions, the reverse too.

    A passage with the text of one of the query's positives is a false negative and is left out, an own one too. So is
    one that scores above the positive by `train.false_negative_margin`; for that an instance's own passages stay.
    """
    queries_QD, device = _leaf(queries_QD), queries_QD.device
    counts = peers.counts(len(passages_PD), device)
    passages_AD = _leaf(peers.all_rows(passages_PD, counts))
    first = sum(counts[: peers.rank])
    own_QK = torch.where(batch.candidates_QK < 0, -1, batch.candidates_QK + first).to(device)
    excluded = _false_negatives(known, batch, _all_keys(peers, batch.passage_keys, counts, device), first)
    query_counts = peers.counts(len(queries_QD), device) if train.both_directions else []
    queries_AD = _leaf(peers.all_rows(queries_QD.detach(), query_counts)) if train.both_directions else None

    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for start, end in _blocks(len(queries_QD), len(passages_AD), device):
        own_BK = own_QK[start:end]
        losses_B, scores_BK, masses_BK = _one_direction(
            train, queries_QD[start:end], passages_AD, own_BK, _within(excluded, start, end)
        )
        share = 0.5 if train.both_directions else 1.0
        losses_B = losses_B * share + _distillation(train, scores_BK, batch.teacher_QK[start:end])
        (losses_B.sum() * weight).backward()
        parts.append((losses_B.detach(), scores_BK.detach(), masses_BK))
    losses_Q, scores_QK, masses_QK = (torch.cat(column) for column in zip(*parts, strict=True))
    if queries_AD is not None:
        first_query = sum(query_counts[: peers.rank])
        keys_A = _all_keys(peers, batch.query_keys, query_counts, device)
        losses_Q = losses_Q + _towards_queries(
            train, batch, queries_AD, passages_AD, (first_query, first), keys_A, known, weight
        )
    query_gradients_QD = _gradient(queries_QD)
    if queries_AD is not None:
        query_gradients_QD = query_gradients_QD + peers.own_sum(_gradient(queries_AD), query_counts)
    passage_gradients_PD = peers.own_sum(_gradient(passages_AD), counts)
    return _contrasted(losses_Q, scores_QK, masses_QK, query_gradients_QD, passage_gradients_PD)


def _towards_queries(
    train: "TrainConfig",
    batch: Batch,
    queries_AD: Tensor,
    passages_AD: Tensor,
    first: tuple[int, int],
    query_keys_A: np.ndarray,
    known: KnownPositives,
    weight: float,
) -> Tensor:
    """Half the losses [Q] of each own positive finding its query among all; the gradients gather in the leaves.

    `first` are the rows at which the own queries and the own passages begin.
    """
    count, (first_query, first_passage) = len(batch.queries), first
    asking, answering = known.among(query_keys_A, batch.passage_keys[:count])
    other = asking != first_query + answering
    excluded = _sorted_pairs(answering[other], asking[other])
    own_Q1 = (torch.arange(count) + first_query).unsqueeze(1).to(queries_AD.device)
    losses = []
    for start, end in _blocks(count, len(queries_AD), queries_AD.device):
        positives_BD = passages_AD[first_passage + start : first_passage + end]
        pairs = _within(excluded, start, end)
        losses_B, *_ = _one_direction(train, positives_BD, queries_AD, own_Q1[start:end], pairs)
        (losses_B.sum() * (weight * 0.5)).backward()
        losses.append(losses_B.detach() * 0.5)
    return torch.cat(losses)


def _one_direction(
    train: "TrainConfig",
    anchors_BD: Tensor,
    others_AD: Tensor,
    own_BK: Tensor,
    excluded: tuple[np.ndarray, np.ndarray],
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses [B], and scores and masses [B, K] of the own columns, of which the first is the positive's.

    `excluded` are pairs of a row and a column that take no part.
    """
    allowed_BA = torch.ones(len(anchors_BD), len(others_AD), dtype=torch.bool, device=anchors_BD.device)
    allowed_BA[torch.from_numpy(excluded[0]), torch.from_numpy(excluded[1])] = False
    positive_B, safe_BK = own_BK[:, 0], torch.where(own_BK < 0, own_BK[:, :1], own_BK)
    losses: list[Tensor] = []
    scores_BK = masses_BK = torch.empty(0)
    for size in _sizes(train, anchors_BD):
        scores_BA = truncated(anchors_BD, size) @ truncated(others_AD, size).T
        allowed = allowed_BA
        if train.false_negative_margin is not None:
            doubtful_BA = above_positive(scores_BA, positive_B, train.false_negative_margin)
            allowed = allowed_BA & ~doubtful_BA.scatter(1, safe_BK, False)
        losses.append(info_nce(scores_BA, positive_B, allowed, train.temperature))
        scores_BK = scores_BA.gather(1, safe_BK)
        masses_BK = _masses(scores_BK, allowed.gather(1, safe_BK), losses[-1], train.temperature)
    return torch.stack(losses).mean(dim=0), scores_BK, masses_BK


def _distillation(train: "TrainConfig", scores_NK: Tensor, teacher_NK: Tensor) -> Tensor | float:
    """What the teacher adds to the losses [N], by the scores of the whole vectors; nothing where none is asked."""
    if train.distillation is None:
        return 0.0
    teacher_NK = teacher_NK.to(scores_NK.device)
    return train.distillation.weight * distilled(
        scores_NK, teacher_NK, train.temperature, train.distillation.temperature
    )


def _false_negatives(
    known: KnownPositives, batch: Batch, passage_keys_A: np.ndarray, first: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a query and a passage of all that answers it, apart from each instance's own positive, by query."""
    asking, answering = known.among(batch.query_keys, passage_keys_A)
    other = answering != first + asking
    return _sorted_pairs(asking[other], answering[other])


def _sorted_pairs(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(rows, kind="stable")
    return rows[order], columns[order]


def _within(pairs: tuple[np.ndarray, np.ndarray], start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = pairs
    chosen = slice(np.searchsorted(rows, start), np.searchsorted(rows, end))
    return rows[chosen] - start, columns[chosen]


def _all_keys(peers: Peers, keys: np.ndarray, counts: list[int], device: torch.device) -> np.ndarray:
    return peers.all_rows(torch.from_numpy(keys).unsqueeze(1).to(device), counts).squeeze(1).cpu().numpy()


def _masses(scores_QK: Tensor, allowed_QK: Tensor, losses_Q: Tensor, temperature: float) -> Tensor:
    """exp(s / t) over the sum that the loss was made of, which the loss and its positive give back; 0 for what took no
    part in that sum. The first column is the positive's."""
    with torch.no_grad():
        logits_QK = (scores_QK - scores_QK[:, :1]) / temperature - losses_Q.unsqueeze(1)
        return logits_QK.exp().masked_fill(~allowed_QK, 0.0)


def _sizes(train: "TrainConfig", vectors_ND: Tensor) -> list[int]:
    """The numbers of dimensions that are trained, all of them last."""
    return [*sorted(set(train.matryoshka_dimensions) - {vectors_ND.shape[1]}), vectors_ND.shape[1]]


def _blocks(rows: int, columns: int, device: torch.device) -> Iterator[tuple[int, int]]:
    size = max(1, _CELLS.get(device.type, 1 << 22) // max(1, columns))
    for start in range(0, rows, size):
        yield start, min(rows, start + size)


def _leaf(vectors_ND: Tensor) -> Tensor:
    return vectors_ND.detach().requires_grad_()


def _gradient(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def _contrasted(losses_Q: Tensor, scores_QK: Tensor, masses_QK: Tensor, *gradients: Tensor) -> Contrasted:
    return Contrasted(losses_Q.detach(), scores_QK.detach(), masses_QK.detach(), *gradients)
