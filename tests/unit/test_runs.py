"""Finding a finished run again, and exporting it by the command."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from syneg import overrides, runs
from syneg.cli import app
from syneg.errors import BadInput
from tests.unit import stored_run
from tests.unit.export.test_instances import SOURCE

CONFIG = overrides.load("configs/demo.yaml", ["encoder.query_prompt='find: '"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    stored_run.write(tmp_path / "out", CONFIG, {"mix.instances": SOURCE.rows})
    return tmp_path / "out"


def test_by_folder_by_name_and_after_a_move(root: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(root, tmp_path / "elsewhere"))
    for run, under in ((f"{root}/runs/demo", "none"), ("demo", str(root)), (f"{moved}/runs/demo/", "none")):
        finished = runs.load(run, under)
        assert finished.config.model_copy(update={"store": CONFIG.store}) == CONFIG
        assert finished.table("mix", "instances").table() == SOURCE.rows


def test_no_such_run(root: Path) -> None:
    with pytest.raises(BadInput, match="no finished run 'other'"):
        runs.load("other", str(root))


def test_a_run_whose_output_was_removed(root: Path) -> None:
    shutil.rmtree(root / "mix")
    with pytest.raises(BadInput, match="the output of mix is no longer"):
        runs.load("demo", str(root))


def test_a_run_of_another_version(root: Path) -> None:
    record = root / "runs" / "demo" / "run.json"
    written = json.loads(record.read_text())
    written["config"]["mix"]["flavour"] = "sweet"
    record.write_text(json.dumps(written))
    with pytest.raises(BadInput, match=r"not one of this version of syneg(.|\n)*flavour"):
        runs.load("demo", str(root))


def test_export_by_the_command(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "exported"
    command = ["export", f"{root}/runs/demo", str(out), "--format", "flagembedding"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "3 instances with 2 negatives each" in done.output
    lines = (out / "train.jsonl").read_text(encoding="utf-8").split("\n")
    assert [json.loads(line)["prompt"] for line in lines if line] == ["find: "] * 3
    again = CliRunner().invoke(app, command)
    assert isinstance(again.exception, BadInput)


def test_the_other_layout_is_found_where_nothing_else_differs(tmp_path: Path) -> None:
    root = tmp_path / "out"
    rates = {"published": 80.0, "prefix_first": 90.0}
    finished = {}
    for layout, rate in rates.items():
        for seed in ("0", "1") if layout == "published" else ("0",):
            config = overrides.load("configs/demo.yaml", [f"generate.layout={layout}", f"generate.seed={seed}"])
            named = config.model_copy(update={"name": f"{layout}-{seed}"})
            folder = stored_run.write(root, named, {}, {"gate": {"output_tokens_per_second": rate}})
            finished[layout, seed] = runs.load(folder)

    def found(layout: str, seed: str) -> dict[str, float]:
        by_layout = runs.by_layout(finished[layout, seed])
        return {name: facts["output_tokens_per_second"] for name, facts in by_layout.items()}

    assert found("published", "0") == found("prefix_first", "0") == rates
    assert found("published", "1") == {"published": 80.0}
