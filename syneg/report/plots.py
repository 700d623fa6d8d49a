"""Plots as SVG text: pure functions of numbers, one style.

Colours are Okabe and Ito's, which stay apart under every common colour blindness. Each is written as a CSS variable
with the light page's colour as its fallback: the page gives a dark background its own, and the file alone still draws.
Text stays text. Nothing is random, so the same numbers give the same bytes.
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator
from matplotlib.typing import RcKeyType

COLOURS = {
    "ink": "#3b4252",
    "faint": "#9aa3b2",
    "grid": "#e3e7ee",
    "positive": "#009e73",
    "synthetic": "#d55e00",
    "bm25": "#0072b2",
    "dense": "#b8860b",
    "random": "#7f7f7f",
    "other": "#cc79a7",
}
STYLE: dict[RcKeyType, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "syneg",
    "text.parse_math": False,
    "font.size": 10.5,
    "axes.edgecolor": COLOURS["faint"],
    "axes.labelcolor": COLOURS["ink"],
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlecolor": COLOURS["ink"],
    "axes.titlelocation": "left",
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["ink"],
    "ytick.color": COLOURS["ink"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}
_WIDTH = 6.2  # inches; the page scales it
_POINTS = 600  # drawn at most on a line, so that a long run does not make a large page


def colour(source: str) -> str:
    return COLOURS.get(source, COLOURS["other"])


def loss(steps: np.ndarray, losses: np.ndarray, learning_rates: np.ndarray) -> str:
    """Loss by optimiser step with its running mean, and the learning rate below on the same axis."""
    with matplotlib.rc_context(STYLE):
        figure, (above, below) = figure_of(3.3, rows=2, heights=[3, 1])
        x, raw = thinned(steps), thinned(losses)
        window = max(1, len(raw) // 20)
        above.plot(x, raw, color=COLOURS["bm25"], linewidth=0.8, alpha=0.35)
        above.plot(x, running_mean(raw, window), color=COLOURS["bm25"], linewidth=1.8, marker=alone(x))
        above.set_title("loss")
        above.tick_params(labelbottom=False)
        below.plot(x, thinned(learning_rates), color=COLOURS["faint"], linewidth=1.4, marker=alone(x))
        below.set_title("learning rate")
        below.set_xlabel("optimiser step")
        below.set_ylim(bottom=0)
        below.set_yticks(
            rates := sorted({0.0, float(learning_rates.max(initial=0.0))}), [short(rate) for rate in rates]
        )
        for axes in (above, below):
            axes.set_xlim(float(x.min()) - 0.5, float(x.max()) + 0.5) if len(x) else None
            whole_steps(axes, x)
            quiet(axes)
        return svg(figure, "loss")


def score_distributions(epochs: Mapping[str, Mapping[str, np.ndarray]], edges: np.ndarray) -> str:
    """Smoothed histograms of similarity, one row a source: {"epoch 1": {"positive": counts [B]}}, edges [B + 1].

    The last epoch is filled; an earlier one is a thin outline behind it. Each curve has the same area: sources of
    different size are compared by shape.
    """
    *earlier, last = epochs.values()
    sources = [source for source, counts in last.items() if counts.sum()]
    with matplotlib.rc_context(STYLE):
        figure, rows = figure_of(0.66 * len(sources) + 0.6, rows=len(sources))
        low, high = _visible(epochs, edges)
        for axes, source in zip(rows, sources, strict=True):
            for histograms in earlier:
                _ridge(axes, histograms[source], edges, color=COLOURS["faint"], filled=False)
            _ridge(axes, last[source], edges, color=colour(source), filled=True)
            means = [_mean(histograms[source], edges) for histograms in epochs.values()]
            axes.set_ylabel(source, rotation=0, ha="right", va="center", labelpad=6)
            axes.text(1.02, 0.3, " → ".join(f"{value:.2f}" for value in means), transform=axes.transAxes)
            axes.set_xlim(low, high)
            axes.set_ylim(bottom=0)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            axes.tick_params(labelbottom=axes is rows[-1])
            quiet(axes, grid="x")
        # The figure's, since beside long names the axis is shorter than this.
        figure.supxlabel("cosine similarity with the query (triangle and number: the mean)", fontsize="medium")
        return svg(figure, "distributions")


def query_changes(deltas: np.ndarray, measure: str) -> str:
    """What each query gained or lost, the largest loss on the left: deltas [Q], tuned minus base."""
    with matplotlib.rc_context(STYLE):
        figure, (axes,) = figure_of(2.7)
        ordered = np.sort(deltas)
        y = _picked(ordered)
        edges = np.linspace(0, len(ordered), len(y) + 1)
        for sign, tint in ((1, COLOURS["positive"]), (-1, COLOURS["synthetic"])):
            (bars,) = np.nonzero(sign * y > 0)  # neighbours, since they are sorted
            if len(bars):
                axes.stairs(y[bars], edges[bars[0] : bars[-1] + 2], fill=True, color=tint, linewidth=0)
        axes.axhline(0, color=COLOURS["ink"], linewidth=0.8)
        reach = max(0.05, float(np.abs(deltas).max(initial=0)) * 1.08)
        axes.set_ylim(-reach, reach)
        axes.set_xlim(0, max(1, len(ordered)))  # also where nothing is drawn: those that stayed the same
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        queries = "query" if len(deltas) == 1 else "queries"
        axes.set_xlabel(f"{len(deltas):,} test {queries}, from the largest loss to the largest gain")
        axes.set_ylabel(f"{measure}, tuned \N{MINUS SIGN} base")
        above, below = int((deltas > 0).sum()), int((deltas < 0).sum())
        labels = (
            (f"{below:,} worse", "left", COLOURS["synthetic"]),
            (f"{len(deltas) - above - below:,} the same", "center", COLOURS["ink"]),
            (f"{above:,} better", "right", COLOURS["positive"]),
        )
        for text, place, tint in labels:
            axes.set_title(text, loc=place, color=tint)  # type: ignore[arg-type]
        quiet(axes)
        return svg(figure, "changes")


def outcomes(groups: Mapping[str, Mapping[str, int]], kept: str) -> str:
    """Rows by what became of them, one block of bars a group; the outcome named `kept` is the good one."""
    with matplotlib.rc_context(STYLE):
        heights = [max(1, len(counts)) for counts in groups.values()]
        figure, group_axes = figure_of(0.29 * sum(heights) + 0.44 * len(heights), rows=len(heights), heights=heights)
        for axes, (title, counts) in zip(group_axes, groups.items(), strict=True):
            total = sum(counts.values())
            places = np.arange(len(counts))
            tints = [COLOURS["positive"] if outcome == kept else COLOURS["faint"] for outcome in counts]
            axes.barh(places, list(counts.values()), color=tints, height=0.66)
            axes.set_yticks(places, [outcome.replace("_", " ") for outcome in counts])
            axes.invert_yaxis()
            axes.set_xlim(0, max([*counts.values(), 1]) * 1.28)
            axes.set_xticks([])
            axes.set_title(title)
            axes.spines["bottom"].set_visible(False)
            for place, count in zip(places, counts.values(), strict=True):
                axes.annotate(
                    _share(count, total),
                    (count, place),
                    xytext=(4, 0),
                    textcoords="offset points",
                    va="center",
                )
        return svg(figure, f"outcomes-{kept}")


def figure_of(height: float, rows: int = 1, heights: Sequence[float] | None = None) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    figure.patch.set_alpha(0)
    grid = figure.subplots(rows, 1, squeeze=False, height_ratios=heights)
    for axes in grid[:, 0]:
        axes.patch.set_alpha(0)
    return figure, list(grid[:, 0])


def _ridge(axes: Axes, counts: np.ndarray, edges: np.ndarray, color: str, *, filled: bool) -> None:
    if not counts.sum():
        return
    centres = (edges[1:] + edges[:-1]) / 2
    density = _smoothed(counts, edges)
    if filled:
        axes.fill_between(centres, density, color=color, alpha=0.3, linewidth=0)
    axes.plot(centres, density, color=color, linewidth=1.5)
    marker = {"marker": "^", "markersize": 5, "linestyle": "none", "clip_on": False, "zorder": 5}
    axes.plot([_mean(counts, edges)], [0], color=color, **marker)


def _mean(counts: np.ndarray, edges: np.ndarray) -> float:
    return float((counts * (edges[1:] + edges[:-1]) / 2).sum() / max(1, counts.sum()))


def _smoothed(counts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """A Gaussian kernel density of binned values, the bandwidth by Silverman's rule (1986, eq. 3.31)."""
    centres = (edges[1:] + edges[:-1]) / 2
    shares = counts / counts.sum()
    deviation = np.sqrt((shares * (centres - (shares * centres).sum()) ** 2).sum())
    bandwidth = max(0.9 * deviation * counts.sum() ** -0.2, edges[1] - edges[0])
    kernel = np.exp(-0.5 * ((centres[:, None] - centres[None, :]) / bandwidth) ** 2)
    density = kernel @ shares
    return density / density.sum()


def _visible(epochs: Mapping[str, Mapping[str, np.ndarray]], edges: np.ndarray) -> tuple[float, float]:
    """The stretch of the axis where there is anything, a bin of air on both sides."""
    total = np.sum([counts for histograms in epochs.values() for counts in histograms.values()], axis=0)
    filled = np.flatnonzero(total)
    if not len(filled):
        return float(edges[0]), float(edges[-1])
    width = float(edges[1] - edges[0])
    return float(edges[filled[0]]) - width, float(edges[filled[-1] + 1]) + width


def _share(count: int, total: int) -> str:
    percent = 100 * count / total if total else 0
    return f"{count:,}  (<1 %)" if 0 < percent < 0.5 else f"{count:,}  ({percent:.0f} %)"


def short(value: float) -> str:
    """A number on an axis: 2e-05 as 2e-5."""
    return re.sub(r"e([+-])0*", lambda sign: "e" + sign[1].strip("+"), f"{value:g}")


def whole_steps(axes: Axes, steps: np.ndarray) -> None:
    """Puts no label of the axis between two steps."""
    axes.xaxis.set_major_locator(FixedLocator(steps.tolist()) if len(steps) == 1 else MaxNLocator(integer=True))


def alone(values: np.ndarray) -> str:
    """The marker of a line: none, but for a single point, through which no line goes."""
    return "o" if len(values) == 1 else ""


def quiet(axes: Axes, grid: str = "y") -> None:
    axes.grid(axis=grid, color=COLOURS["grid"], linewidth=0.7)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def thinned(values: np.ndarray) -> np.ndarray:
    """At most `_POINTS` means over neighbouring values."""
    if len(values) <= _POINTS:
        return values
    return np.array([part.mean() for part in np.array_split(values, _POINTS)])


def _picked(values: np.ndarray) -> np.ndarray:
    """At most `_POINTS` of the values, first and last among them."""
    if len(values) <= _POINTS:
        return values
    return values[np.linspace(0, len(values) - 1, _POINTS).round().astype(int)]


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of the last `window` values, of fewer at the start."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    end = np.arange(1, len(values) + 1)
    start = np.maximum(0, end - window)
    return (sums[end] - sums[start]) / (end - start)


def svg(figure: Figure, name: str) -> str:
    """The figure as one <svg> element whose ids are its own on a page with other plots."""
    sink = io.StringIO()
    figure.savefig(sink, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = sink.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)  # it would apply to the whole page
    text = re.sub(r'<svg([^>]*?) width="[^"]*" height="[^"]*"', r'<svg\1 stroke-linejoin="round"', text, count=1)
    text = re.sub(r"(\d\.\d{2})\d+", r"\1", text)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    for variable, tint in COLOURS.items():
        text = text.replace(tint, f"var(--plot-{variable}, {tint})")
    return text
