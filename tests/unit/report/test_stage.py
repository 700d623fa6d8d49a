"""The folder that the page is made from."""

import json
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from syneg import schemas
from syneg.report import stage
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs
from tests.memory import MemoryTable
from tests.unit.report import sample


def with_table(name: str, table: pa.Table) -> Inputs:
    given = sample.inputs()
    return Inputs({**given.tables, name: MemoryTable(table)})


def read(folder: Path) -> dict:
    return json.loads((folder / "content.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.content(tmp_path_factory.mktemp("report"))


def test_rows_are_the_scored_queries(tmp_path: Path) -> None:
    output = stage.run(sample.inputs(), Context(ResourcesConfig(), tmp_path))
    assert (output.rows_in, output.rows_out) == (sample.TEST_QUERIES, sample.TEST_QUERIES)


def test_every_plot_is_a_file(written: Path) -> None:
    names = [plot["name"] for plot in read(written)["plots"]]
    assert names == ["changes", "distributions", "loss", "generation", "candidates"]
    for name in names:
        ElementTree.parse(written / f"{name}.svg")


def test_a_training_that_ended_between_its_first_and_its_last_planned_epoch_has_a_plot_of_the_first(
    tmp_path: Path,
) -> None:
    similarities = sample.inputs().tables["similarities"].table()
    first = similarities.filter(pc.field("step") <= sample.STEPS // 2)
    stage.run(with_table("similarities", first), Context(ResourcesConfig(), tmp_path))
    (plot,) = [plot for plot in read(tmp_path / "content")["plots"] if plot["name"] == "distributions"]
    assert plot["caption"].endswith("during epoch 1 (nothing was recorded in epoch 2, in which training ended).")


def test_counts(written: Path) -> None:
    found = read(written)
    assert found["generation"] == {"accepted": 10, "too_short": 10}
    assert found["instances"]["in_place_of_rejected"] == 10
    assert list(found["instances"]["negatives"]) == ["synthetic", "bm25", "dense"]
    assert found["training"]["steps"] == sample.STEPS
    shares = {name: found["training"][f"masses_of_{name}_tenth"] for name in ("first", "last")}
    assert list(shares["last"]) == ["synthetic", "bm25"]
    expected = {"first": 0.25, "last": 0.75}
    for name, mass in expected.items():
        assert shares[name]["synthetic"] == pytest.approx({"share_of_negatives": 0.25, "share_of_mass": mass})
    changes = found["changes"]
    assert changes["measure"] == "nDCG@10"
    assert changes["better"] + changes["same"] + changes["worse"] == sample.TEST_QUERIES
    gains = [row["tuned"] - row["base"] for row in changes["gains"]]
    assert gains == sorted(gains, reverse=True)
    assert all(gain > 0 for gain in gains)
    assert changes["gains"][0]["text"].startswith("Test query")


def test_instances_to_read_are_whole(written: Path) -> None:
    readings = read(written)["readings"]
    assert len(readings) == stage.TO_READ
    with_synthetic = [reading for reading in readings if reading["negatives"][0]["source"] == "synthetic"]
    assert len(with_synthetic) == 10
    for reading in with_synthetic:
        written_negative, found_negative = reading["negatives"]
        assert written_negative["origin"]["reasoning"].startswith("Keeps the topic")
        assert written_negative["origin"]["difficulty"] == "Intermediate"
        assert found_negative["origin"] is None
        assert (found_negative["rank"], found_negative["source"]) == (5, "dense")


def test_same_tables_give_the_same_bytes(written: Path, tmp_path: Path) -> None:
    again = sample.content(tmp_path)
    for path in written.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_huge_text_is_cut(tmp_path: Path) -> None:
    rows = sample.inputs().tables["instances"].table().to_pylist()
    for row in rows:
        row["positive"] = "word " * 100_000
    folder = sample.content(tmp_path, with_table("instances", pa.Table.from_pylist(rows, schema=schemas.INSTANCES)))
    assert (folder / "content.json").stat().st_size < 200_000
    assert read(folder)["readings"][0]["positive"].endswith("[498,000 more characters]")


def test_without_rows_but_those_of_the_test_there_is_still_a_folder(tmp_path: Path) -> None:
    found = read(sample.content(tmp_path, sample.no_more_than_the_test()))
    assert [plot["name"] for plot in found["plots"]] == ["changes"]
    assert found["readings"] == []


def test_what_no_stage_made_is_left_out(tmp_path: Path) -> None:
    """A run that has nothing written and nothing mined: in-batch negatives alone."""
    less = {name: source for name, source in sample.inputs().tables.items() if name not in ("synthetic", "candidates")}
    bare = schemas.INSTANCES.empty_table()
    found = read(sample.content(tmp_path, Inputs({**less, "instances": MemoryTable(bare)})))
    assert [plot["name"] for plot in found["plots"]] == ["changes", "distributions", "loss"]
    assert found["candidates"] == {}
    assert found["generation"] == {"accepted": 0}


def test_a_loss_that_is_no_number_stays_valid_json(tmp_path: Path) -> None:
    rows = sample.inputs().tables["metrics"].table().to_pylist()
    rows[-1]["loss"] = math.nan
    folder = sample.content(tmp_path, with_table("metrics", pa.Table.from_pylist(rows, schema=schemas.METRICS)))
    assert read(folder)["training"]["loss_of_last_tenth"] is None
