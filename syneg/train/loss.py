"""Losses as pure tensor functions: Q queries, P passages, K candidates of one query, D dimensions.

    L = -log( exp(s(q, d+) / t) / sum over d in C(q) of exp(s(q, d) / t) )       (arXiv 2412.17250, phase 3)

s is the cosine, which for unit vectors is the product. What is in C(q) is the one difference between the variants:
the instance's own passages (the paper), or those of the whole batch as well (in-batch negatives).
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize, softplus


def own_scores(queries_QD: Tensor, passages_PD: Tensor, candidates_QK: Tensor) -> Tensor:
    """Scores [Q, K] of each query with its own passages. `candidates_QK` holds rows of `passages_PD`.

    Where a query has fewer than K passages its row ends in -1; the score there means nothing.
    """
    return torch.einsum("qd,qkd->qk", queries_QD, passages_PD[candidates_QK.clamp(min=0)])


def info_nce(scores_QC: Tensor, positive_Q: Tensor, allowed_QC: Tensor, temperature: float) -> Tensor:
    """The loss of each query [Q]. C counts candidates: K own ones, or all P passages of the batch.

    `positive_Q` is the column of the positive, which must be allowed. Columns that are not allowed take no part: an
    absent negative, or a passage of another instance that answers this query too. With no negative left the loss is 0.
    """
    logits_QC = (scores_QC / temperature).masked_fill(~allowed_QC, -torch.inf)
    positive_Q1 = logits_QC.gather(1, positive_Q.unsqueeze(1))
    return logits_QC.logsumexp(dim=1) - positive_Q1.squeeze(1)


def distilled(scores_QK: Tensor, teacher_QK: Tensor, temperature: float, teacher_temperature: float) -> Tensor:
    """KL(teacher || student) of each query [Q], over the softmax of its own passages' scores, the first the positive's.

    Where `teacher_QK` is NaN a passage takes part in neither softmax. It is 0 if the teacher did not score the
    positive, or scored nothing else.
    """
    known_QK = ~teacher_QK.isnan() & ~teacher_QK[:, :1].isnan()
    known_QK[:, 0] = True  # alone it has all of both softmaxes
    student_QK = (scores_QK / temperature).masked_fill(~known_QK, -torch.inf).log_softmax(dim=1)
    taught_QK = (teacher_QK.nan_to_num() / teacher_temperature).masked_fill(~known_QK, -torch.inf).log_softmax(dim=1)
    return (taught_QK.exp() * (taught_QK - student_QK).masked_fill(~known_QK, 0.0)).sum(dim=1)


def above_positive(scores_QC: Tensor, positive_Q: Tensor, margin: float) -> Tensor:
    """Which candidates [Q, C] score above the query's positive by more than `margin`: likely answers themselves."""
    return scores_QC.detach() > scores_QC.detach().gather(1, positive_Q.unsqueeze(1)) + margin


def truncated(vectors_ND: Tensor, dimensions: int) -> Tensor:
    """The first `dimensions` of each vector, at unit length again [N, dimensions] (Matryoshka, 2205.13147)."""
    whole = dimensions == vectors_ND.shape[1]
    return vectors_ND if whole else normalize(vectors_ND[:, :dimensions], dim=1)


def lambda_mrr(
    positives_QJ: Tensor, negatives_QK: Tensor, known_QJ: Tensor, found_QK: Tensor, cut: int, temperature: float
) -> Tensor:
    """The loss of each query [Q] of ADORE (arXiv 2104.08051): LambdaRank for the reciprocal rank.

        L = mean over pairs (d+, d-) of |1/r(d+) - 1/r(d-)| log(1 + exp((s(q, d-) - s(q, d+)) / t))

    r is the rank among all of the query's passages here, from 1; beyond `cut` 1/r counts as 0. So what would change
    the reciprocal rank most if the two changed places weighs most. The weights carry no gradient. (The released code
    adds both orders of a pair with one sign, whose sum is least where the scores are equal; this is the formula.)

    Args:
        positives_QJ: scores.
        negatives_QK: scores.
        known_QJ: false where a query has fewer than J positives.
        found_QK: false where it has fewer than K negatives.
        cut: ranks that count.
        temperature: t, by which cosines are divided.
    """
    here_QC = torch.cat([known_QJ, found_QK], dim=1)
    scores_QC = torch.cat([positives_QJ, negatives_QK], dim=1).detach().masked_fill(~here_QC, -torch.inf)
    rank_QC = scores_QC.argsort(dim=1, descending=True, stable=True).argsort(dim=1) + 1
    gain_QC = torch.where(rank_QC <= cut, 1 / rank_QC, 0.0)
    gain_QJ, gain_QK = gain_QC.tensor_split([positives_QJ.shape[1]], dim=1)
    weight_QJK = (gain_QJ.unsqueeze(2) - gain_QK.unsqueeze(1)).abs()
    pair_QJK = known_QJ.unsqueeze(2) & found_QK.unsqueeze(1)
    behind_QJK = (negatives_QK.unsqueeze(1) - positives_QJ.unsqueeze(2)) / temperature
    loss_QJK = (weight_QJK * softplus(behind_QJK)).masked_fill(~pair_QJK, 0.0)
    return loss_QJK.sum(dim=(1, 2)) / pair_QJK.sum(dim=(1, 2)).clamp(min=1)
