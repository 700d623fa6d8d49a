"""What `syneg export` says, and where it refuses to write."""

from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from syneg.cli import app
from syneg.config import overrides
from syneg.errors import BadInput
from tests.unit import stored_run
from tests.unit.export import test_trec
from tests.unit.export.test_instances import row, table

CONFIG = overrides.load("configs/demo.yaml")
FORMATS = ["sentence-transformers", "flagembedding", "tevatron", "trec"]


def export(place: Path, out: Path, form: str, rows: pa.Table) -> Result:
    tables = test_trec.tables()
    made = {f"corpus.{name}": tables[name].rows for name in ("queries", "qrels")}
    made |= {"mine.candidates": tables["candidates"].rows, "mix.instances": rows}
    folder = stored_run.write(place / "out", CONFIG, made, last="mix")
    return CliRunner().invoke(app, ["export", folder, str(out), "--format", form])


@pytest.mark.parametrize(
    ("counts", "form", "said"),
    [
        ((2, 2), "tevatron", "2 instances with 2 negatives each"),
        ((3, 1), "tevatron", "2 instances with 1 to 3 negatives each"),
        ((3, 1), "sentence-transformers", "1 instance with 3 negatives each"),  # 1 is left out
    ],
)
def test_how_many_negatives_it_says(tmp_path: Path, counts: tuple[int, ...], form: str, said: str) -> None:
    rows = table(*(row(number, count) for number, count in enumerate(counts))).rows
    done = export(tmp_path, tmp_path / "exported", form, rows)
    assert done.exit_code == 0, done.output
    assert f"Wrote {said} to" in " ".join(done.output.split())


def test_instances_without_negatives_are_for_flagembedding_with_a_group_of_one(tmp_path: Path) -> None:
    rows = table(row(0, 0), row(1, 0)).rows
    done = export(tmp_path, tmp_path / "exported", "flagembedding", rows)
    assert "Wrote 2 instances with 0 negatives each" in done.output
    assert "reads them with --train_group_size 1 alone" in done.output
    refused = export(tmp_path, tmp_path / "refused", "tevatron", rows).exception
    assert isinstance(refused, BadInput)
    assert "No instance has a negative, as with mix.strategy=in_batch_only, and tevatron's reader" in str(refused)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("below", ["", "new", "new/newer"])
def test_no_folder_is_made_of_a_file_or_below_one(tmp_path: Path, form: str, below: str) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    refused = export(tmp_path, file / below, form, table(row(0, 1)).rows).exception
    assert isinstance(refused, BadInput)
    assert f"{file / below} cannot be a folder: {file} exists already, as a file. Give a new one" in str(refused)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("form", FORMATS)
def test_an_empty_folder_is_as_good_as_a_new_one(tmp_path: Path, form: str) -> None:
    out = tmp_path / "exported"
    out.mkdir()
    assert export(tmp_path, out, form, table(row(0, 1)).rows).exit_code == 0
    again = export(tmp_path, out, form, table(row(0, 1)).rows).exception
    assert isinstance(again, BadInput)
    assert f"{out} exists already and is not an empty folder" in str(again)
