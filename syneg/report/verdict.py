"""The result in plain words. Pure; points are hundredths of a measure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from syneg import differences
from syneg.differences import LEVEL, counted, interval, named_probability, points


@dataclass(frozen=True)
class Verdict:
    kind: Literal["better", "worse", "unclear"]
    sentence: str
    caveats: tuple[str, ...] = ()


def of_run(facts: Mapping[str, Any], shortcuts: Sequence[str] = ()) -> Verdict:
    """The verdict on tuned against base by the first measure, from the facts of the evaluate stage.

    The other measures are not corrected for being several: they only ever add a caveat. `shortcuts`: the warnings of
    the stage probe, which are caveats too.
    """
    measure = facts["measures"][0]
    kind, sentence = _sentence(measure, facts["differences"][measure])
    caveats = _caveats(facts["scores"], facts["differences"], measure)
    if leaked := leaked_queries(facts.get("leaks", {})):
        caveats.insert(0, leak(leaked, "The tuned model"))
    return Verdict(kind, sentence, (*caveats, *shortcuts))


def leaked_queries(leaks: Mapping[str, Mapping[str, int]]) -> int:
    """How many test queries were trained on as queries. `leaks` as the stage evaluate counts them."""
    return leaks.get("test_query", {}).get("query", 0)


def leak(queries: int, trained: str) -> str:
    """The caveat that `trained` saw that many test queries in training."""
    return (
        f"{trained} trained on {counted(queries, 'test query')} or nearly the same: scores may be too high. The "
        "table leaks of the stage evaluate lists them."
    )


def power(facts: Mapping[str, Any]) -> str:
    """The smallest gain that these queries show by the first measure, to be read before any difference."""
    measure = facts["measures"][0]
    queries, gain = int(facts["differences"][measure]["queries"]), facts["differences"][measure]["detectable"]
    return power_of(f"{counted(queries, 'query')} and one seed", queries, 1, (gain, gain), measure)


def power_of(tested: str, queries: int, comparisons: int, detectable: tuple[float, float], measure: str) -> str:
    """`detectable`: the gain that the easiest and the hardest of the comparisons would show."""
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


def fewest_queries(comparisons: int) -> int:
    """Of Q queries there are 2^Q ways to give their differences signs, and the test's p is at least two of them: with
    fewer nothing can be shown. Holm's correction asks for more."""
    return math.floor(math.log2(2 * max(1, comparisons) / LEVEL)) + 1


def _sentence(measure: str, found: Mapping[str, float]) -> tuple[Literal["better", "worse", "unclear"], str]:
    gain, low, high, queries = found["difference"], found["low"], found["high"], int(found["queries"])
    if queries < (fewest := fewest_queries(1)):
        return "unclear", (
            f"Too few queries to measure it: tuned minus base is {points(gain)} {measure} points "
            f"({counted(queries, 'query')}, one seed), and the test needs {fewest} or more: keep the base model."
        )
    span = f"95 % {interval(low, high)}"
    ends = f"{named_probability(found['p'])}, {counted(queries, 'query')}, one seed"
    if _is_shown(found) and gain > 0:
        return "better", f"Tuned is better than base by {points(gain)} {measure} points ({span}, {ends})."
    if _is_shown(found):
        span = f"95 % {interval(-high, -low)}"
        by_points = f"{points(-gain)} {measure} points ({span}, {ends})"
        return "worse", f"Tuned is worse than base by {by_points}: keep the base model."
    seen = f"No difference can be shown: tuned minus base is {points(gain)} {measure} points ({span}, {ends})"
    width = points((high - low) / 2)
    if width == points(0):  # alike on every query: the interval says nothing of other queries
        return "unclear", f"{seen}: keep the base model."
    return "unclear", f"{seen}. These queries measure it to within ±{width} points: keep the base model."


def _caveats(
    scores: Mapping[str, Mapping[str, float]], found: Mapping[str, Mapping[str, float]], measure: str
) -> list[str]:
    caveats = []
    if "bm25" in scores and scores["bm25"][measure] > max(scores["base"][measure], scores["tuned"][measure]):
        ahead = scores["bm25"][measure] - max(scores["base"][measure], scores["tuned"][measure])
        caveats.append(f"BM25 beats both here, by {points(ahead)} {measure} points over the better one.")
    for other, by_other in found.items():
        if other != measure and _is_shown(by_other) and by_other["difference"] * found[measure]["difference"] < 0:
            direction = "rose" if by_other["difference"] > 0 else "fell"
            caveats.append(f"{other} {direction} by {points(abs(by_other['difference']))} points.")
    caveats.append("The interval is over queries; another seed of the training may move the result further.")
    return caveats


def _is_shown(found: Mapping[str, float]) -> bool:
    return differences.is_shown(found["p"], found["low"], found["high"])
