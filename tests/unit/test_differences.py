"""When a difference is shown, how large it has to be, and how it is written."""

import pytest

from syneg import differences


@pytest.mark.parametrize(
    ("p", "low", "high", "shown"),
    [
        (0.049, 0.001, 0.05, True),
        (0.049, -0.05, -0.001, True),
        (0.05, 0.001, 0.05, False),
        (0.04, -0.001, 0.05, False),
        (0.04, 0.0, 0.05, False),
        (1.0, 0.0, 0.0, False),
    ],
)
def test_test_and_interval_must_agree(p: float, low: float, high: float, shown: bool) -> None:
    assert differences.is_shown(p, low, high) is shown


@pytest.mark.parametrize(("p", "written"), [(1 / 10_001, "< 0.001"), (0.001, "0.001"), (0.0306, "0.031"), (1, "1.000")])
def test_no_probability_is_written_as_zero(p: float, written: str) -> None:
    assert differences.probability(p) == written
    assert differences.named_probability(p) == f"p {written}" if written.startswith("<") else f"p = {written}"


@pytest.mark.parametrize(
    ("value", "unsigned", "signed"),
    [(0.0123, "1.2", "+1.2"), (-0.0123, "\N{MINUS SIGN}1.2", "\N{MINUS SIGN}1.2"), (-0.0001, "0.0", "+0.0")],
)
def test_points_are_hundredths(value: float, unsigned: str, signed: str) -> None:
    assert (differences.points(value), differences.signed_points(value)) == (unsigned, signed)


def test_both_ends_of_an_interval_are_written_alike() -> None:
    assert differences.interval(-0.003, 0.021) == "\N{MINUS SIGN}0.3 to 2.1"
    assert differences.signed_interval(-0.003, 0.021) == "\N{MINUS SIGN}0.3 to +2.1"


@pytest.mark.parametrize(
    ("count", "noun", "written"),
    [(1, "query", "1 query"), (1200, "test query", "1,200 test queries"), (3, "seed", "3 seeds")],
)
def test_one_is_not_many(count: int, noun: str, written: str) -> None:
    assert differences.counted(count, noun) == written


def test_too_few_queries_can_show_nothing() -> None:
    """Five differences of one sign have p = 2 / 2^5."""
    assert [differences.fewest_queries(count) for count in (0, 1, 2, 10)] == [6, 6, 7, 9]
    gain = (0.1, 0.2)
    assert differences.power_of("5 queries", 5, 1, gain, "MAP").endswith("the test needs 6 queries or more.")
    assert "about 10.0 to 20.0 MAP points" in differences.power_of("6 queries", 6, 1, gain, "MAP")
    assert "about 20.0 MAP points" in differences.power_of("6 queries", 6, 1, (0.0, 0.2), "MAP")
    for nothing in (0.0, 1e-17):
        found = differences.power_of("6 queries", 6, 1, (nothing, nothing), "MAP")
        assert "it is not known how small a gain" in found
        assert "about 20.0 MAP points" in differences.power_of("6 queries", 6, 1, (nothing, 0.2), "MAP")


def test_one_comparison_is_not_many() -> None:
    assert [differences.counted_comparisons(count) for count in (1, 4)] == ["one comparison", "4 comparisons"]
