"""Plots are well-formed, say what they were given and draw no more than they need."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from syneg.report import plots, plots_of_arms

EDGES = np.linspace(-1, 1, 201)


def bell(centre: float) -> np.ndarray:
    return np.histogram(np.random.default_rng(0).normal(centre, 0.1, 500).clip(-1, 1), EDGES)[0]


def texts(svg: str) -> str:
    return " ".join(part.strip() for part in ElementTree.fromstring(svg).itertext() if part.strip())


def drawn() -> dict[str, str]:
    steps = np.arange(1, 11)
    return {
        "loss": plots.loss(steps, 1 / steps, 2e-5 / steps),
        "distributions": plots.score_distributions(
            {
                "epoch 1": {"positive": bell(0.5), "ance": bell(0.2)},
                "epoch 2": {"positive": bell(0.7), "ance": bell(0.1)},
            },
            EDGES,
        ),
        "changes": plots.query_changes(np.array([0.0, 0.5, -0.2, 0.1]), "nDCG@10"),
        "outcomes": plots.outcomes({"answers": {"accepted": 999, "too_short": 1, "empty": 0}}, "accepted"),
    }


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Whatever is drawn, before it is written."""
    found: list[Figure] = []
    for module in (plots, plots_of_arms):
        monkeypatch.setattr(module, "svg", lambda figure, name: found.append(figure))
    return found


@pytest.mark.parametrize("name", ["loss", "distributions", "changes", "outcomes"])
def test_is_one_svg_element_with_its_own_ids_and_themed_colours(name: str) -> None:
    svg = drawn()[name]
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    assert "viewBox" in root.attrib
    assert "width" not in root.attrib
    ids = re.findall(r' id="([^"]+)"', svg)
    assert all(found.startswith(name) for found in ids)
    assert all(target in ids for target in re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    assert "<style" not in svg
    assert "<script" not in svg
    assert "var(--plot-ink, #3b4252)" in svg


def test_same_numbers_give_the_same_bytes() -> None:
    assert drawn() == drawn()


def test_numbers_stand_in_the_plots_as_text() -> None:
    found = {name: texts(svg) for name, svg in drawn().items()}
    assert "1 worse" in found["changes"]
    assert "1 the same" in found["changes"]
    assert "2 better" in found["changes"]
    assert "999 (100 %)" in re.sub(r"\s+", " ", found["outcomes"])
    assert "1 (<1 %)" in re.sub(r"\s+", " ", found["outcomes"])
    assert "0.50 → 0.70" in found["distributions"]


def test_text_is_escaped() -> None:
    svg = plots.outcomes({'<script>"x"</script>': {"a & b <i>": 3, "$x$": 1}}, "accepted")
    assert '<script>"x"</script>' in texts(svg)
    assert "a & b <i>" in texts(svg)
    assert "$x$" in texts(svg)


def test_long_runs_do_not_make_large_files() -> None:
    steps = np.arange(1, 200_001)
    assert len(plots.loss(steps, 1 / steps, np.full(len(steps), 2e-5))) < 60_000
    assert len(plots.query_changes(np.linspace(-1, 1, 50_000), "MAP")) < 60_000


@pytest.mark.parametrize("count", [1, 2])
def test_few_numbers_draw(count: int) -> None:
    steps = np.arange(1, count + 1)
    plots.loss(steps, np.ones(count), np.zeros(count))
    plots.query_changes(np.zeros(count), "MAP")


def test_queries_that_stayed_the_same_take_their_room(figures: list[Figure]) -> None:
    plots.query_changes(np.array([0] * 27 + [0.4, 0.6, 0.6]), "MAP")
    plots.query_changes(np.zeros(30), "MAP")
    assert [figure.axes[0].get_xlim() for figure in figures] == [(0, 30), (0, 30)]


@pytest.mark.parametrize(
    ("value", "text"), [(2e-5, "2e-5"), (1.5e-5, "1.5e-5"), (0.02, "0.02"), (1e7, "1e7"), (0.0, "0"), (1e-10, "1e-10")]
)
def test_a_number_on_an_axis_is_short(value: float, text: str) -> None:
    assert plots.short(value) == text


@pytest.mark.parametrize("count", [1, 2, 3])
def test_steps_are_whole_and_a_single_one_is_seen(figures: list[Figure], count: int) -> None:
    steps = np.arange(1, count + 1)
    plots.loss(steps, 1 / steps, 2e-5 / steps)
    plots_of_arms.curves_by_arm({"an arm": (1 / steps).tolist()}, {}, "losses", "loss")
    for axes in (axes for figure in figures for axes in figure.axes):
        low, high = axes.get_xlim()
        assert [tick for tick in axes.get_xticks() if low <= tick <= high] == steps.tolist()
        assert any(line.get_marker() == "o" for line in axes.get_lines()) == (count == 1)


def test_many_arms_with_long_names_stay_on_the_figure() -> None:
    names = [f"a_rather_long_name_of_an_arm_number_{number}" for number in range(15)]
    svg = plots_of_arms.curves_by_arm({name: [1.0, 0.5] for name in names}, {}, "losses", "loss")
    assert all(name in texts(svg) for name in names)
    width, height = (float(size) for size in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0])
    places = [(float(x), float(y)) for x, y in re.findall(r"translate\(([\d.]+) ([\d.]+)\)", svg)]
    assert all(x < width and y < height for x, y in places)
    styles = re.findall(r'<path d="[^"]+" clip-path="[^"]+" style="(fill: none; stroke[^"]+)"', svg)
    assert len(set(styles)) >= len(names)


def test_labels_of_an_axis_have_room() -> None:
    assert plots_of_arms._apart([1, 2, 3, 4, 64, 128], logarithmic=False) == [1, 64, 128]
    assert plots_of_arms._apart([1, 2, 4, 64, 128], logarithmic=True) == [1, 2, 4, 64, 128]
    assert plots_of_arms._apart([3], logarithmic=False) == [3]


def test_running_mean_is_over_the_last_values() -> None:
    assert plots.running_mean(np.array([1.0, 3.0, 5.0, 7.0]), 2).tolist() == [1, 2, 4, 6]


def test_smoothing_keeps_the_mean_and_the_area() -> None:
    counts = bell(0.3)
    density = plots._smoothed(counts, EDGES)
    centres = (EDGES[1:] + EDGES[:-1]) / 2
    assert density.sum() == pytest.approx(1)
    assert (density * centres).sum() == pytest.approx(plots._mean(counts, EDGES), abs=1e-3)
