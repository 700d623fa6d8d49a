"""The paired test and the interval, against enumeration and against data whose truth is known."""

import itertools

import numpy as np
import pytest

from syneg.evaluate.significance import paired


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
