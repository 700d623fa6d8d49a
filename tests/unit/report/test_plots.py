"""Plots are well-formed, say what they were given and draw no more than they need."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from syneg.report import plots

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


def test_running_mean_is_over_the_last_values() -> None:
    assert plots.running_mean(np.array([1.0, 3.0, 5.0, 7.0]), 2).tolist() == [1, 2, 4, 6]


def test_smoothing_keeps_the_mean_and_the_area() -> None:
    counts = bell(0.3)
    density = plots._smoothed(counts, EDGES)
    centres = (EDGES[1:] + EDGES[:-1]) / 2
    assert density.sum() == pytest.approx(1)
    assert (density * centres).sum() == pytest.approx(plots._mean(counts, EDGES), abs=1e-3)
