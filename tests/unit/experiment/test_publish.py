"""What the experiment leaves: JSON, scores, and a page that says the same and runs nothing."""

import json
import re

import pytest

from syneg.config.run import RunConfig
from syneg.experiment import publish
from syneg.experiment.analysis import analyse
from syneg.experiment.grid import Cell, Grid
from syneg.experiment.verdict import reach
from syneg.report import experiment_page
from syneg.settings.experiment import ExperimentConfig
from tests.unit.experiment import sample

REPORTED = {"source": "A paper", "note": "Not ours.", "figures": [{"arm": "hybrid", "what": "E5", "value": "+2.1"}]}


@pytest.fixture(scope="module")
def content() -> dict:
    results = sample.results({"retrieved_only": 0.02, "hybrid": 0.08})
    analysis = analyse(results, "retrieved_only", seed=0)
    run = RunConfig.model_validate({"name": "t-hybrid-0", "corpus": {"source": "stdlib"}})
    config = ExperimentConfig.model_validate({"name": "t", "base": {}, "arms": {"retrieved_only": {}, "hybrid": {}}})
    grid = Grid(config, (Cell("hybrid", 0, run),), {})
    return publish.summary(grid, results, analysis, reach(results, analysis), REPORTED)


def test_json_holds_what_the_page_shows(content: dict) -> None:
    again = json.loads(json.dumps(content))
    assert again["verdict"]["use"] == "hybrid"
    hybrid = next(arm for arm in again["arms"] if arm["name"] == "hybrid")
    assert len(hybrid["scores"]["nDCG@10"]["by_seed"]) == 3
    assert hybrid["with_rival"]["baseline"] == "retrieved_only"


def test_page_has_the_power_before_the_verdict_and_nothing_that_runs(content: dict) -> None:
    page = experiment_page.render(content)
    assert page.index("four times out of five") < page.index("hybrid beats retrieved_only")
    assert not re.search(r"<(script|img)\b", page)
    assert "&lt;script&gt;" in page
    assert page.count("<figure") == 3
    assert "hybrid: +" in page  # ours beside the reported figure


def test_a_numeric_setting_gets_a_plot(content: dict) -> None:
    def arm(name: str, value: float | None) -> dict:
        settings = {} if value is None else {"train.temperature": value}
        return {"name": name, "base": "base", "settings": settings}

    arms = [arm("a", 0.01), arm("b", 0.02), arm("c", 0.05)]
    assert experiment_page.varied(arms) == ("train.temperature", {"a": 0.01, "b": 0.02, "c": 0.05})
    assert experiment_page.varied(content["arms"]) is None


def test_scores_have_a_row_for_every_arm_seed_measure_and_query() -> None:
    table = publish.scores_table(sample.results({"hybrid": 0.02}))
    assert table.num_rows == (1 + 3) * len(sample.MEASURES) * sample.QUERIES
    assert table["seed"].null_count == len(sample.MEASURES) * sample.QUERIES
