"""When a difference between two systems counts as shown, and how its numbers are written, wherever they are shown."""

LEVEL = 0.05
"""Of the test; the interval holds 1 - LEVEL."""


def is_shown(p: float, low: float, high: float) -> bool:
    """The test rejects at 5 %, and the interval agrees."""
    return p < LEVEL and (low > 0 or high < 0)


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
