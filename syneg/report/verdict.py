"""The result in plain words. Pure; points are hundredths of a measure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

_LEVEL = 0.05


@dataclass(frozen=True)
class Verdict:
    kind: Literal["better", "worse", "unclear", "unmeasured"]
    sentence: str
    caveats: tuple[str, ...] = ()


def is_shown(difference: Mapping[str, float]) -> bool:
    """Whether the difference is one: the test rejects at 5 %, and the interval agrees."""
    return difference["p"] < _LEVEL and (difference["low"] > 0 or difference["high"] < 0)


def of_run(facts: Mapping[str, Any]) -> Verdict:
    """The verdict on tuned against base by the first measure, from the facts of the evaluate stage.

    The other measures are not corrected for being several: they only ever add a caveat.
    """
    differences, measures = facts.get("differences") or {}, facts.get("measures") or ()
    if not measures or measures[0] not in differences:
        return Verdict("unmeasured", "Nothing was measured: the collection has no test query with a relevant passage.")
    measure = measures[0]
    kind, sentence = _sentence(measure, differences[measure])
    return Verdict(kind, sentence, tuple(_caveats(facts["scores"], differences, measure)))


def power(facts: Mapping[str, Any]) -> str | None:
    """The smallest gain that these queries show, to be read before any difference; None if nothing was measured."""
    differences, measures = facts.get("differences") or {}, facts.get("measures") or ()
    if not measures or "detectable" not in differences.get(measures[0], {}):
        return None
    queries, gain = int(differences[measures[0]]["queries"]), differences[measures[0]]["detectable"]
    return power_of(f"{queries:,} {_plural(queries, 'query')} and one seed", queries, 1, (gain, gain), measures[0])


def power_of(tested: str, queries: int, comparisons: int, detectable: tuple[float, float], measure: str) -> str:
    """`detectable`: the gain that the easiest and the hardest of the comparisons would show."""
    fewest = fewest_queries(comparisons)
    if queries < fewest:
        return f"With {tested} no difference can be shown, however large: the test needs {fewest} queries or more."
    low, high = (100 * gain for gain in detectable)
    if high == 0:
        return f"With {tested} it is not known how small a gain would be seen: the systems differ alike on all of them."
    low = low or high  # of two equal systems nothing is known
    span = _points(low) if _points(low) == _points(high) else f"{_points(low)} to {_points(high)}"
    return (
        f"With {tested} a gain has to be about {span} {measure} points to be found four times out of five. "
        "A smaller one may be there and not be seen."
    )


def fewest_queries(comparisons: int) -> int:
    """Of Q queries there are 2^Q ways to give their differences signs, and the test's p is at least two of them: with
    fewer nothing can be shown. Holm's correction asks for more."""
    return math.floor(math.log2(2 * max(1, comparisons) / _LEVEL)) + 1


def _sentence(measure: str, found: Mapping[str, float]) -> tuple[Literal["better", "worse", "unclear"], str]:
    by = {name: 100 * found[name] for name in ("difference", "low", "high")}
    ends = f"{_probability(found['p'])}, {int(found['queries']):,} {_plural(int(found['queries']), 'query')}, one seed"
    if is_shown(found) and found["difference"] > 0:
        span = f"95 % {_points(by['low'])} to {_points(by['high'])}"
        return "better", f"Tuned is better than base by {_points(by['difference'])} {measure} points ({span}, {ends})."
    if is_shown(found):
        span = f"95 % {_points(-by['high'])} to {_points(-by['low'])}"
        by_points = f"{_points(-by['difference'])} {measure} points ({span}, {ends})"
        return "worse", f"Tuned is worse than base by {by_points}: keep the base model."
    span = f"95 % {_points(by['low'])} to {_points(by['high'])}"
    width = _points((by["high"] - by["low"]) / 2)
    return "unclear", (
        f"No difference can be shown: tuned minus base is {_points(by['difference'])} {measure} points "
        f"({span}, {ends}). These queries measure it to within ±{width} points: keep the base model."
    )


def _caveats(
    scores: Mapping[str, Mapping[str, float]], differences: Mapping[str, Mapping[str, float]], measure: str
) -> list[str]:
    caveats = []
    if "bm25" in scores and scores["bm25"][measure] > max(scores["base"][measure], scores["tuned"][measure]):
        ahead = 100 * (scores["bm25"][measure] - max(scores["base"][measure], scores["tuned"][measure]))
        caveats.append(f"BM25 beats both here, by {_points(ahead)} {measure} points over the better one.")
    for other, found in differences.items():
        if other != measure and is_shown(found) and found["difference"] * differences[measure]["difference"] < 0:
            direction = "rose" if found["difference"] > 0 else "fell"
            caveats.append(f"{other} {direction} by {_points(100 * abs(found['difference']))} points.")
    caveats.append("The interval is over queries; another seed of the training may move the result further.")
    return caveats


def _points(value: float) -> str:
    return f"{value:.1f}".replace("-0.0", "0.0").replace("-", "\N{MINUS SIGN}")


def _probability(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun.removesuffix('y')}ies"
