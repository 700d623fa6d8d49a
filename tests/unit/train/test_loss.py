"""The loss against a loop of log-softmax over one query's candidates."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from syneg.train.loss import above_positive, distilled, info_nce, own_scores, truncated

QUERIES_QD = normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(1)), dim=1)
PASSAGES_PD = normalize(torch.randn(9, 8, generator=torch.Generator().manual_seed(2)), dim=1)
CANDIDATES_QK = torch.tensor([[0, 4, 5], [1, 6, -1], [2, -1, -1], [3, 7, 8]])  # with two, one, no and two negatives


def loop_loss(query: int, positive: int, others: list[int], temperature: float) -> float:
    scores = [float(QUERIES_QD[query] @ PASSAGES_PD[passage]) / temperature for passage in [positive, *others]]
    return -(scores[0] - math.log(sum(math.exp(score) for score in scores)))


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_own_passages(temperature: float) -> None:
    scores_QK = own_scores(QUERIES_QD, PASSAGES_PD, CANDIDATES_QK)
    losses_Q = info_nce(scores_QK, torch.zeros(4, dtype=torch.long), CANDIDATES_QK >= 0, temperature)

    expected = [
        loop_loss(row, row, [passage for passage in candidates[1:] if passage >= 0], temperature)
        for row, candidates in enumerate(CANDIDATES_QK.tolist())
    ]
    torch.testing.assert_close(losses_Q, torch.tensor(expected), rtol=1e-5, atol=1e-5)
    assert losses_Q[2] == 0


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_passages_of_the_batch_with_a_mask(temperature: float) -> None:
    positive_Q = torch.tensor([0, 1, 2, 3])
    allowed_QP = torch.rand(4, 9, generator=torch.Generator().manual_seed(3)) < 0.6
    allowed_QP[torch.arange(4), positive_Q] = True
    losses_Q = info_nce(QUERIES_QD @ PASSAGES_PD.T, positive_Q, allowed_QP, temperature)

    expected = [
        loop_loss(row, row, [p for p in range(9) if allowed_QP[row, p] and p != row], temperature) for row in range(4)
    ]
    torch.testing.assert_close(losses_Q, torch.tensor(expected), rtol=1e-5, atol=1e-5)


def test_what_is_not_allowed_has_no_gradient() -> None:
    queries_QD, passages_PD = QUERIES_QD.clone().requires_grad_(), PASSAGES_PD.clone().requires_grad_()
    scores_QK = own_scores(queries_QD, passages_PD, CANDIDATES_QK)
    info_nce(scores_QK, torch.zeros(4, dtype=torch.long), CANDIDATES_QK >= 0, 0.05)[1:3].sum().backward()

    assert passages_PD.grad is not None
    assert queries_QD.grad is not None
    assert passages_PD.grad.isfinite().all()
    assert passages_PD.grad[[0, 2, 3, 4, 5, 7, 8]].abs().sum() == 0
    assert queries_QD.grad[2].abs().sum() == 0  # no negative, nothing to learn
    assert queries_QD.grad[1].abs().sum() > 0


def test_divergence_from_the_teacher_over_what_it_scored() -> None:
    nan = math.nan
    scores_QK = torch.tensor([[0.9, 0.1, 0.3], [0.5, 0.4, 0.2], [0.5, 0.4, 0.2], [0.1, 0.9, 0.3], [0.2, 0.1, 0.3]])
    teacher_QK = torch.tensor([[8, 2, 5.0], [8, nan, 5], [nan, 2, 5], [3, nan, nan], [nan, nan, nan]])
    leaf_QK = scores_QK.clone().requires_grad_()
    found_Q = distilled(leaf_QK, teacher_QK, temperature=0.1, teacher_temperature=2.0)

    def loop(query: int, own: list[int]) -> float:
        student = [math.exp(float(scores_QK[query, place]) / 0.1) for place in own]
        taught = [math.exp(float(teacher_QK[query, place]) / 2.0) for place in own]
        pairs = zip(taught, student, strict=True)
        return sum(p / sum(taught) * math.log((p / sum(taught)) / (q / sum(student))) for p, q in pairs)

    torch.testing.assert_close(found_Q, torch.tensor([loop(0, [0, 1, 2]), loop(1, [0, 2]), 0.0, 0.0, 0.0]))
    found_Q.sum().backward()
    assert leaf_QK.grad is not None
    assert leaf_QK.grad.isfinite().all()
    assert leaf_QK.grad[1, 1] == leaf_QK.grad[2:].abs().sum() == 0


def test_candidates_above_the_positive_by_the_margin() -> None:
    scores_QC = torch.tensor([[0.5, 0.55, 0.7], [0.9, 0.95, 0.1]])
    assert above_positive(scores_QC, torch.tensor([0, 1]), 0.1).tolist() == [[False, False, True], [False] * 3]


def test_truncated_vectors_have_unit_length() -> None:
    torch.testing.assert_close(truncated(QUERIES_QD, 3), normalize(QUERIES_QD[:, :3], dim=1))
    assert truncated(QUERIES_QD, 8) is QUERIES_QD
