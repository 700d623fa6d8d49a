"""Every config file that is shipped parses, and every prompt beside them is whole."""

from pathlib import Path

import pytest

from syneg.config import overrides
from syneg.generate import prompts
from syneg.generate.attributes import Attributes
from syneg.pipeline import graph, pipeline

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_parses(path: Path) -> None:
    assert overrides.load(str(path)).name


@pytest.mark.parametrize("folder", sorted((ROOT / "configs" / "prompts").iterdir()), ids=lambda path: path.name)
def test_prompts_are_whole_and_fence_what_they_show(folder: Path) -> None:
    prompt = prompts.load(str(folder), style=True)
    (message,) = prompt.messages("the query", "the positive", Attributes("a", "b", "c"), "[[mark]]", "the example")
    for shown in ("the query", "the positive", "the example"):
        assert message["content"].count(f"[[mark]]\n{shown}\n[[mark]]") == message["content"].count(shown) > 0


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_plans(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = overrides.load(str(path))
    monkeypatch.chdir(ROOT)
    if config.corpus.path and not config.corpus.path.startswith("s3://") and not Path(config.corpus.path).exists():
        pytest.skip(f"{config.corpus.path} is not on this machine")
    assert [step.stage.name for step in pipeline.plan(config, allow_unreachable=True)] == list(graph.names(config))
