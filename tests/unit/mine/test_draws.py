"""Draws against the formulas that define them."""

import numpy as np
import pytest
from scipy.stats import chisquare

from syneg.mine import draws
from syneg.settings.mine import SimansConfig


def test_simans_draws_by_its_formula() -> None:
    """How often each row is drawn first, over 4,000 queries, against p_i written out."""
    scores, anchor, simans = np.array([0.9, 0.8, 0.75, 0.6, 0.3]), 0.8, SimansConfig(a=30.0, b=-0.05)
    weights = np.array([np.exp(-30.0 * (score - 0.8 + 0.05) ** 2) for score in scores])
    log_weights = draws.simans_log_weights(scores, anchor, simans)
    first, second = np.zeros(5), np.zeros(5)
    for query in range(4_000):
        order = draws.weighted_order(draws.generator(0, "simans", f"q{query}"), log_weights)
        assert sorted(order) == list(range(5))
        first[order[0]] += 1
        second[order[1]] += order[0] == 2
    assert chisquare(first, 4_000 * weights / weights.sum()).pvalue > 0.001
    left = np.delete(weights, 2)
    assert chisquare(np.delete(second, 2), second.sum() * left / left.sum()).pvalue > 0.001


def test_b_moves_the_peak_towards_higher_scores() -> None:
    scores = np.linspace(-1, 1, 201)
    peak = scores[np.argmax(draws.simans_log_weights(scores, 0.4, SimansConfig(a=10.0, b=0.1)))]
    assert peak == pytest.approx(0.5)


def test_effective_size() -> None:
    assert draws.effective_size(np.full(7, -3.0)) == pytest.approx(7)
    assert draws.effective_size(np.array([0.0, -1e9])) == pytest.approx(1)
    weights = np.array([0.5, 0.25, 0.25])
    assert draws.effective_size(np.log(weights)) == pytest.approx(1 / (weights**2).sum())


def test_a_uniform_draw_has_no_repeats_and_depends_on_its_key_alone() -> None:
    one, again, other = (draws.uniform(draws.generator(0, "random", name), 50, 20) for name in ("a", "a", "b"))
    assert len(set(one)) == 20
    assert one.tolist() == again.tolist() != other.tolist()
    assert one.tolist() != draws.uniform(draws.generator(1, "random", "a"), 50, 20).tolist()
    assert sorted(draws.uniform(draws.generator(0, "random", "a"), 5, 20)) == [0, 1, 2, 3, 4]


def test_a_uniform_draw_favours_nobody() -> None:
    counts = np.zeros(20)
    for query in range(3_000):
        counts[draws.uniform(draws.generator(0, "random", str(query)), 20, 3)] += 1
    assert chisquare(counts).pvalue > 0.001
