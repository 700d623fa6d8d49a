"""Differences between two systems: when one counts as shown, how large it has to be for that, and how its numbers and
what follows from them are written."""

import math
from collections.abc import Mapping

LEVEL = 0.05
"""Of the test; the interval holds 1 - LEVEL."""


def is_shown(p: float, low: float, high: float) -> bool:
    """The test rejects at 5 %, and the interval agrees."""
    return p < LEVEL and (low > 0 or high < 0)


def fewest_queries(comparisons: int) -> int:
    """Of Q queries there are 2^Q ways to give their differences signs, and the test's p is at least two of them: with
    fewer nothing can be shown. Holm's correction asks for more."""
    return math.floor(math.log2(2 * max(1, comparisons) / LEVEL)) + 1


def probability(p: float) -> str:
    """ "0.031" or "< 0.001": a test by draws never gives 0."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def named_probability(p: float) -> str:
    """As a sentence has it: "p = 0.031" or "p < 0.001"."""
    written = probability(p)
    return f"p {written}" if written.startswith("<") else f"p = {written}"


def points(value: float) -> str:
    """Hundredths of a measure: "1.2"."""
    return f"{100 * value:z.1f}".replace("-", "\N{MINUS SIGN}")


def signed_points(value: float) -> str:
    """A difference in points, its sign always written: "+1.2"."""
    return f"{100 * value:+z.1f}".replace("-", "\N{MINUS SIGN}")


def interval(low: float, high: float) -> str:
    """In points: "0.3 to 2.1"."""
    return f"{points(low)} to {points(high)}"


def signed_interval(low: float, high: float) -> str:
    """Of a difference whose sign is written: "+0.3 to +2.1"."""
    return f"{signed_points(low)} to {signed_points(high)}"


def counted(count: int, noun: str) -> str:
    """ "1 query", "1,200 queries", "3 seeds"."""
    plural = f"{noun.removesuffix('y')}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def counted_comparisons(count: int) -> str:
    return "one comparison" if count == 1 else f"{count} comparisons"


def power_of(tested: str, queries: int, comparisons: int, detectable: tuple[float, float], measure: str) -> str:
    """The smallest gain that can be seen, to be read before any difference.

    `tested` has what was compared in words; `detectable`: the gains that its easiest and its hardest comparison show.
    """
    fewest = fewest_queries(comparisons)
    if queries < fewest:
        return f"With {tested} no difference can be shown, however large: the test needs {fewest} queries or more."
    low, high = detectable
    if points(high) == points(0):  # 0 but for rounding
        return f"With {tested} it is not known how small a gain would be seen: the systems differ alike on all of them."
    low = high if points(low) == points(0) else low  # of two equal systems nothing is known
    span = points(low) if points(low) == points(high) else interval(low, high)
    return (
        f"With {tested} a gain has to be about {span} {measure} points to be found four times out of five. "
        "A smaller one may be there and not be seen."
    )


def leaked_queries(leaks: Mapping[str, Mapping[str, int]]) -> int:
    """How many test queries were trained on as queries. `leaks` as the stage evaluate counts them."""
    return leaks.get("test_query", {}).get("query", 0)


def leak(queries: int, trained: str) -> str:
    """The caveat that `trained` saw that many test queries in training."""
    return (
        f"{trained} trained on {counted(queries, 'test query')} or nearly the same: scores may be too high. The "
        "table leaks of the stage evaluate lists them."
    )
