"""The paired test and the interval, against enumeration and against data whose truth is known."""

import itertools

import numpy as np
import pytest

from syneg.differences import is_shown
from syneg.evaluate.significance import detectable_gain, holm, paired


def exact_p(delta: np.ndarray) -> float:
    """All 2^Q assignments of signs."""
    means = [np.mean(delta * signs) for signs in itertools.product([1, -1], repeat=len(delta))]
    return float(np.mean(np.abs(means) >= abs(delta.mean()) - 1e-12))


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.3])
def test_p_is_near_the_exact_one(shift: float) -> None:
    draw = np.random.default_rng(3)
    base = draw.random(12)
    tuned = base + draw.normal(shift, 0.3, 12)
    assert paired(base, tuned, seed=0, draws=40_000).p == pytest.approx(exact_p(tuned - base), abs=0.01)


def test_identical_systems_never_differ() -> None:
    scores = np.random.default_rng(0).random(50)
    for seed in range(20):
        found = paired(scores, scores, seed=seed, draws=500)
        assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_planted_gain_is_found_and_its_sign_is_right() -> None:
    draw = np.random.default_rng(1)
    base = draw.random(300) * 0.5
    tuned = base + draw.normal(0.05, 0.1, 300)
    up, down = paired(base, tuned, seed=0), paired(tuned, base, seed=0)
    assert up.p < 0.001
    assert 0 < up.low < up.difference < up.high
    assert down.high < 0
    assert up.difference == pytest.approx(-down.difference)
    assert up.queries == 300


def test_null_is_rejected_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(5)
    rejected = sum(
        paired(base := draw.random(60), base + draw.normal(0, 0.2, 60), seed=n, draws=400).p < 0.05 for n in range(300)
    )
    assert 4 <= rejected <= 28  # 15 expected; a binomial with p = 0.05 leaves this range once in 1,000


def test_interval_is_near_the_normal_one() -> None:
    delta = np.random.default_rng(2).normal(0.1, 0.5, 1000)
    found = paired(np.zeros(1000), delta, seed=0)
    half = 1.96 * delta.std() / np.sqrt(1000)
    assert found.low == pytest.approx(delta.mean() - half, abs=0.003)
    assert found.high == pytest.approx(delta.mean() + half, abs=0.003)


def test_the_seed_decides() -> None:
    draw = np.random.default_rng(0)
    base, tuned = draw.random(40), draw.random(40)
    assert paired(base, tuned, seed=1) == paired(base, tuned, seed=1)
    assert paired(base, tuned, seed=1) != paired(base, tuned, seed=2)


@pytest.mark.parametrize(("left", "right"), [(0, 0), (3, 4)])
def test_unpaired_scores_are_refused(left: int, right: int) -> None:
    with pytest.raises(ValueError, match="paired scores"):
        paired(np.zeros(left), np.zeros(right), seed=0)


def test_equal_seeds_are_one_seed_and_differing_ones_widen_the_interval() -> None:
    draw = np.random.default_rng(4)
    base, tuned = draw.random(200), draw.random(200)
    once = paired(base, tuned, seed=0)
    thrice = paired(base, np.repeat(tuned[None], 3, axis=0), seed=0)
    assert (thrice.difference, thrice.p) == (pytest.approx(once.difference), once.p)
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=0.05)
    moved = paired(base, tuned + np.array([[-0.1], [0.0], [0.1]]), seed=0)
    assert moved.difference == pytest.approx(once.difference)
    assert moved.high - moved.low > 1.5 * (once.high - once.low)


@pytest.mark.parametrize(("seeds", "between_seeds"), [(3, 0.0), (3, 0.02), (2, 0.02)])
def test_interval_over_queries_and_seeds_holds_the_truth_about_as_often_as_it_says(
    seeds: int, between_seeds: float
) -> None:
    draw = np.random.default_rng(6)
    missed = 0
    for number in range(400):
        rest = draw.normal(0, 0.08, (seeds, 300)) + draw.normal(0, between_seeds, (seeds, 1))
        found = paired(np.zeros(300), draw.normal(0.02, 0.12, 300) + rest, seed=number, draws=500)
        missed += not found.low <= 0.02 <= found.high
    assert 7 <= missed <= 35  # 20 expected; a binomial with p = 0.05 leaves this range once in 1,000


def test_of_one_seed_the_interval_is_over_queries_alone() -> None:
    delta = np.random.default_rng(2).normal(0.1, 0.5, 1000)
    one, same = paired(np.zeros(1000), delta, seed=0), paired(np.zeros(1000), delta[None], seed=0)
    assert one == same
    assert one.reach == 0
    assert one.detectable == pytest.approx(2.8 * one.standard_error, rel=0.01)


def test_with_few_seeds_that_differ_a_gain_has_to_be_large_to_be_found() -> None:
    """Two means of 1 and 3 points: t with one degree of freedom asks for 12.7 standard errors, each 1 point."""
    found = paired(np.zeros(50), np.array([[0.01], [0.03]]) + np.zeros((2, 50)), seed=0)
    assert found.standard_error == pytest.approx(0.01)
    assert found.low == pytest.approx(0.02 - 0.127, abs=0.002)
    assert found.detectable == pytest.approx(0.127 + 0.0084, abs=0.002)


def test_a_gain_as_large_as_detectable_is_found_four_times_out_of_five() -> None:
    draw = np.random.default_rng(8)
    gain = detectable_gain(0.2 / np.sqrt(100))
    found = [paired(np.zeros(100), draw.normal(gain, 0.2, 100), seed=number, draws=600) for number in range(200)]
    assert 140 <= sum(is_shown(one.p, one.low, one.high) for one in found) <= 180


def test_holm_against_its_definition() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_seeds_must_agree() -> None:
    with pytest.raises(ValueError, match="paired scores"):
        paired(np.zeros((2, 5)), np.zeros((3, 5)), seed=0)
