"""Every experiment that is shipped resolves: all arms, all seeds, and the figures beside them."""

from pathlib import Path

import pytest

from syneg.experiment import grid, reported

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted((ROOT / "configs" / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_resolves(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = grid.load(str(path))
    assert found.config.name == path.stem
    assert len(found.cells) == len(found.config.tuned) * len(found.config.seeds)
    figures = reported.load(found.config.reported).get("figures", [])
    assert {figure["arm"] for figure in figures} - {None} <= set(found.config.arms)
