"""Which run `syneg status` looks at."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from syneg import runs
from syneg.cli import app
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


def test_where_a_run_was_looked_for_is_told(root: str) -> None:
    done = CliRunner().invoke(app, ["status", "none", "--root", root])
    assert isinstance(done.exception, BadInput)
    assert f"found no none/progress.json and no {root}/runs/none/progress.json" in str(done.exception)
