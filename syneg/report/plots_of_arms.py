"""Plots of an experiment, in the style of `plots`: pure functions of numbers."""

import math
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np

from syneg.report.plots import COLOURS, STYLE, alone, figure_of, quiet, running_mean, short, svg, thinned, whole_steps

_TINTS = ("bm25", "synthetic", "positive", "dense", "other", "random", "ink")
_DASHES = ("-", "--", ":")  # when all tints are used
_LEGEND_CHARS = 72  # that stand side by side
_BETWEEN = 0.07  # two labels of an axis, as a share of it


def means_by_arm(
    by_seed: Mapping[str, Sequence[float]],
    intervals: Mapping[str, tuple[float, float]],
    bm25: float | None,
    measure: str,
) -> str:
    """One row an arm: its mean (large dot), every seed's (small dots), and the 95 % interval around its base.

    `intervals` are the ends of the interval of an arm's difference, put on its base's mean; untuned arms have none.
    """
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = figure_of(0.42 * len(by_seed) + 0.9)
        for place, (arm, values) in enumerate(by_seed.items()):
            tint = COLOURS["bm25" if arm in intervals else "random"]
            if arm in intervals:
                axes.plot(intervals[arm], [place, place], color=tint, linewidth=5, alpha=0.25, solid_capstyle="round")
            axes.plot(values, [place] * len(values), "o", color=tint, markersize=4, alpha=0.6)
            axes.plot([float(np.mean(values))], [place], "o", color=tint, markersize=9)
        for arm, values in by_seed.items():
            if arm not in intervals:
                axes.axvline(float(np.mean(values)), color=COLOURS["faint"], linewidth=1, linestyle="--")
        if bm25 is not None:
            axes.axvline(bm25, color=COLOURS["dense"], linewidth=1, linestyle=":")
            axes.annotate("BM25", (bm25, -0.55), ha="center", color=COLOURS["dense"])
        axes.set_yticks(range(len(by_seed)), list(by_seed))
        axes.set_ylim(len(by_seed) - 0.5, -0.9)
        # The figure's, since beside long names the axis is shorter than this.
        figure.supxlabel(
            f"{measure}: mean (large), each seed (small), 95 % interval; dashed: untuned", fontsize="medium"
        )
        quiet(axes, grid="x")
        return svg(figure, "means")


def means_by_setting(
    by_seed: Mapping[float, Sequence[float]], base: float | None, setting: str, measure: str, logarithmic: bool
) -> str:
    """The measure against one numeric setting: a line through the means, a dot a seed, dashed the untuned model."""
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = figure_of(2.9)
        places = sorted(by_seed)
        axes.plot(places, [float(np.mean(by_seed[place])) for place in places], color=COLOURS["bm25"], linewidth=1.8)
        for place in places:
            axes.plot(
                [place] * len(by_seed[place]), by_seed[place], "o", color=COLOURS["bm25"], markersize=4, alpha=0.6
            )
        if base is not None:
            axes.axhline(base, color=COLOURS["faint"], linewidth=1, linestyle="--")
        if logarithmic:
            axes.set_xscale("log")
        axes.set_xticks(labelled := _apart(places, logarithmic), [short(place) for place in labelled], minor=False)
        axes.minorticks_off()
        axes.set_xlabel(setting)
        axes.set_ylabel(measure)
        quiet(axes)
        return svg(figure, f"setting-{setting.replace('.', '-')}")


def _apart(places: Sequence[float], logarithmic: bool) -> list[float]:
    """Those of the sorted `places` whose labels have room beside each other; the first is one of them."""
    on_axis = np.log(places) if logarithmic else np.asarray(places, np.float64)
    found = [0]
    for number in range(1, len(places)):
        if on_axis[number] - on_axis[found[-1]] >= _BETWEEN * (on_axis[-1] - on_axis[0]):
            found.append(number)
    return [places[number] for number in found]


def curves_by_arm(curves: Mapping[str, Sequence[float]], notes: Mapping[str, str], name: str, title: str) -> str:
    """One running mean an arm over its optimiser steps, named below the plot with its note."""
    names = [f"{arm} {notes.get(arm, '')}".strip() for arm in curves]
    columns = min(len(names), max(1, _LEGEND_CHARS // (max(map(len, names)) + 7)))
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = figure_of(2.6 + 0.2 * math.ceil(len(names) / columns))
        for number, (label, values) in enumerate(zip(names, curves.values(), strict=True)):
            turn, tint = divmod(number, len(_TINTS))
            steps = thinned(np.arange(1, len(values) + 1, dtype=np.float64))
            line = running_mean(thinned(np.asarray(values, np.float64)), max(1, len(steps) // 20))
            dashes = _DASHES[turn % len(_DASHES)]
            (drawn,) = axes.plot(steps, line, linewidth=1.6, label=label, color=COLOURS[_TINTS[tint]], linestyle=dashes)
            drawn.set_marker(alone(steps))
        figure.legend(frameon=False, fontsize=9.5, loc="outside lower left", ncols=columns)
        whole_steps(axes, max((np.arange(1, len(values) + 1) for values in curves.values()), key=len))
        axes.set_xlabel("optimiser step")
        axes.set_title(title)
        quiet(axes)
        return svg(figure, name)
