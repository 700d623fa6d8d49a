"""Which run `syneg status` looks at."""

from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from syneg import runs
from syneg.cli import app
from syneg.commands import status
from syneg.errors import BadInput
from syneg.store import files
from syneg.watch import progress


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A store's root with a run named mine."""
    began = progress.RunProgress(run="mine", began=0, updated=0, beat_seconds=5, state="done")
    files.put(progress.path(runs.folder(str(tmp_path), "mine")), began.model_dump_json().encode())
    return str(tmp_path)


def test_a_run_is_found_by_its_folder_and_by_its_name(root: str) -> None:
    for arguments in ([runs.folder(root, "mine")], [f"{runs.folder(root, 'mine')}/"], ["mine", "--root", root]):
        done = CliRunner().invoke(app, ["status", *arguments])
        assert done.exit_code == 0, done.output
        assert "Run mine: done" in done.output


def test_stages_and_states_are_whole_in_60_columns() -> None:
    busy = progress.StageProgress(
        began=0, seconds=9_999, done=1_234, total=8_841_823, first=(9, 0), rejected={"a": 10**6}
    )
    run = progress.RunProgress(run="x", began=0, updated=0, beat_seconds=5, stages={"embed_tuned": busy, "train": busy})
    console = Console(width=60)
    with console.capture() as capture:
        console.print(status.table(run, now=1))
    shown = capture.get()
    assert "│ embed_tuned │ running │" in shown
    assert max(map(len, shown.splitlines())) <= 60


def test_where_a_run_was_looked_for_is_told(root: str) -> None:
    done = CliRunner().invoke(app, ["status", "none", "--root", root])
    assert isinstance(done.exception, BadInput)
    assert f"found no none/progress.json and no {root}/runs/none/progress.json" in str(done.exception)
