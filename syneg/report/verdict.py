"""The result in plain words. Pure; points are hundredths of a measure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from syneg import differences
from syneg.differences import (
    counted,
    fewest_queries,
    interval,
    leak,
    leaked_queries,
    named_probability,
    points,
    power_of,
)


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


def power(facts: Mapping[str, Any]) -> str:
    """The smallest gain that these queries show by the first measure, to be read before any difference."""
    measure = facts["measures"][0]
    queries, gain = int(facts["differences"][measure]["queries"]), facts["differences"][measure]["detectable"]
    return power_of(f"{counted(queries, 'query')} and one seed", queries, 1, (gain, gain), measure)


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
