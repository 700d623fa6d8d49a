"""One sentence: which model to use. Pure; points are hundredths of a measure."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from syneg.differences import (
    counted,
    counted_comparisons,
    fewest_queries,
    interval,
    leak,
    leaked_queries,
    named_probability,
    points,
    power_of,
)
from syneg.experiment.analysis import Analysis, Comparison
from syneg.experiment.results import Results

_FEW_SEEDS = 3
_COSTS = {
    "steps": "optimiser steps",
    "instances": "instances",
    "negatives_per_instance": "hard negatives an instance",
}


@dataclass(frozen=True)
class Verdict:
    """`use` is the arm to use. better: a tuned one; worse: all lost; unclear: what was seen does not decide."""

    kind: Literal["better", "worse", "unclear"]
    use: str
    sentence: str
    power: str  # to be read before any difference
    caveats: tuple[str, ...] = ()


def reach(results: Results, analysis: Analysis) -> Verdict:
    """The verdict by the first measure.

    Of the arms that are shown to beat their base, those that are shown to beat the arm to beat go first, then the arm
    to beat itself, since it needs no LLM, then the others; of several the one with the highest mean.
    """
    winners = [found for found in analysis.with_base.values() if found.gain]
    tested = f"{_tested(results)} and {counted_comparisons(analysis.count)}"
    power = power_of(tested, len(results.queries), analysis.count, analysis.detectable, analysis.measure)
    if not winners:
        kind, sentence = _no_winner(results, analysis)
        best = _best(list(analysis.with_base.values()))
        return Verdict(kind, best.baseline, sentence, power, tuple(_caveats(results, analysis, best.baseline)))
    means = _means(results, analysis.measure)
    against = analysis.with_rival
    beaters = [found for found in winners if found.treated in against and against[found.treated].gain]
    best = max(beaters or winners, key=lambda found: means[found.treated])
    use = next((found for found in winners if found.treated == analysis.rival), best) if not beaters else best
    if beaters:
        sentence = f"{use.treated} beats {_numbers(against[use.treated], results)}: use it. {_over_base(use)}"
    else:
        sentence = f"{use.treated} beats {_numbers(use, results)}: use it."
        if (found := against.get(best.treated)) is not None:
            said = "a difference that is shown" if found.is_shown else "which is not shown to be a difference"
            size = f"{points(found.found.difference)} points ({_span(found)})"
            sentence += f" {best.treated} against {analysis.rival}: {size}, {said}."
    return Verdict("better", use.treated, sentence, power, tuple(_caveats(results, analysis, use.treated)))


def _means(results: Results, measure: str) -> dict[str, float]:
    return {name: float(arm.values[measure].mean()) for name, arm in results.arms.items()}


def _no_winner(results: Results, analysis: Analysis) -> tuple[Literal["worse", "unclear"], str]:
    """No tuned arm is shown to beat its base. Keeping it is right either way; what differs is how much is known."""
    found = list(analysis.with_base.values())
    best = _best(found)
    if all(comparison.loss for comparison in found):
        return "worse", f"Every arm is worse than {best.baseline}, the best of them by {_size(best)}: keep it."
    if best.found.difference <= 0:
        return "unclear", f"No arm beats {best.baseline} ({best.treated} comes nearest: {_span(best)}): keep it."
    enough = len(results.queries) >= fewest_queries(analysis.count)
    shown = f"show a gain reliably from about {points(best.detectable)} points on"
    return "unclear", (
        f"Inconclusive: {best.treated} is {_size(best)} above {best.baseline} ({_span(best)}), which is not shown. "
        f"{_tested(results)} {shown if enough else 'cannot show any gain'}: keep {best.baseline} until more of them "
        "say otherwise."
    )


def _best(found: list[Comparison]) -> Comparison:
    return max(found, key=lambda comparison: comparison.found.difference)


def _numbers(comparison: Comparison, results: Results) -> str:
    """ "base by 1.2 nDCG@10 points (95 % 0.3 to 2.1, p = 0.010, 3 seeds)"."""
    measure = results.measures[0]
    return (
        f"{comparison.baseline} by {points(comparison.found.difference)} {measure} points "
        f"({_span(comparison)}, {_tested(results)})"
    )


def _over_base(best: Comparison) -> str:
    return f"Over {best.baseline} it gains {points(best.found.difference)} points ({_span(best)})."


def _span(comparison: Comparison) -> str:
    found = comparison.found
    return f"95 % {interval(found.low, found.high)}, {named_probability(comparison.adjusted_p)}"


def _size(comparison: Comparison) -> str:
    return f"{points(abs(comparison.found.difference))} points"


def _tested(results: Results) -> str:
    return f"{counted(len(results.queries), 'query')}, {counted(len(results.seeds), 'seed')}"


def _caveats(results: Results, analysis: Analysis, use: str) -> Iterator[str]:
    means = _means(results, analysis.measure)
    highest = max(means, key=lambda name: means[name])
    if len({found.baseline for found in analysis.with_base.values()}) > 1 and highest != use:
        yield f"Arms of different models were not tested against each other: {highest} has the highest mean."
    yield from _leaks(results)
    tuned = [arm for arm in results.arms.values() if arm.tuned]
    for name, title in _COSTS.items():
        seen = {
            arm.name: float(np.mean([training[name] for training in arm.trainings])) for arm in tuned if arm.trainings
        }
        if seen and max(seen.values()) - min(seen.values()) > 0.005 * max(seen.values()):
            counts = ", ".join(f"{arm} {value:,.2f}".removesuffix(".00") for arm, value in seen.items())
            yield f"The arms did not cost the same: {title}: {counts}."
    if len(results.seeds) == 1:
        yield "One seed: the intervals are over queries alone, another training may move the result further."
    elif len(results.seeds) < _FEW_SEEDS:
        yield f"{len(results.seeds)} seeds say little of how far another training would move the result."
    if len(tuned) > 1:
        yield (
            f"p is corrected for {analysis.count} comparisons (Holm); an arm that was picked as the best of several "
            "looks a little better here than it is."
        )
    if len(results.seeds) > 1:
        yield (
            "p is about other queries under these very trainings; each interval is about other trainings too, and "
            "holds for its own comparison alone."
        )
    if results.bm25 is not None:
        ahead = float(results.bm25[analysis.measure].mean()) - max(
            float(arm.values[analysis.measure].mean()) for arm in results.arms.values()
        )
        if ahead > 0:
            yield f"BM25 beats every arm here, by {points(ahead)} {analysis.measure} points over the best."


def _leaks(results: Results) -> Iterator[str]:
    """One caveat for all arms that were trained on equally many test queries, which with one corpus is every arm."""
    arms: dict[int, list[str]] = {}
    for arm in results.arms.values():
        if leaked := sum(leaked_queries(training.get("leaks", {})) for training in arm.trainings):
            arms.setdefault(math.ceil(leaked / len(arm.trainings)), []).append(arm.name)
    for leaked, names in arms.items():
        yield leak(leaked, ", ".join(names))
