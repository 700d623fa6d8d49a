import pytest

from syneg.train.learning_rate import learning_rate


def test_it_rises_and_falls_and_is_never_zero() -> None:
    rates = [learning_rate(step, 10, peak=1.0, warmup_ratio=0.2) for step in range(10)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])


@pytest.mark.parametrize("warmup_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_the_peak_is_reached_and_not_passed(steps: int, warmup_ratio: float) -> None:
    rates = [learning_rate(step, steps, peak=3.0, warmup_ratio=warmup_ratio) for step in range(steps)]
    assert max(rates) == pytest.approx(3.0)
    assert min(rates) > 0
