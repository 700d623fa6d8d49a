"""Every config file that is shipped parses, and says only what differs from the defaults."""

from pathlib import Path

import pytest

from syneg import graph, overrides, pipeline

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_parses(path: Path) -> None:
    assert overrides.load(str(path)).name


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_plans(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = overrides.load(str(path))
    monkeypatch.chdir(ROOT)
    if config.corpus.path and not config.corpus.path.startswith("s3://") and not Path(config.corpus.path).exists():
        pytest.skip(f"{config.corpus.path} is not on this machine")
    assert [step.stage.name for step in pipeline.plan(config, allow_unreachable=True)] == list(graph.names(config))
