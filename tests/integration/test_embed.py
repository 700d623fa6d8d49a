"""The embed stage over local Ray with the packaged model."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe
from syneg.encoder.stage import run
from syneg.settings.encoder import EncoderConfig
from syneg.settings.resources import ResourcesConfig, WorkerResources
from syneg.stage import Context, Inputs, Output, Stake
from syneg.store import parts, tables
from syneg.store.manifest import Part
from tests.memory import MemoryTable, recovered
from tests.tiny_bert import tiny_bert

PASSAGES = pa.table(
    {
        "passage_id": [f"p{row}" for row in range(30)],
        "title": ["A title" if row % 2 else "" for row in range(30)],
        "text": ["" if row == 3 else f"text of passage {row} " * (1 + row) for row in range(30)],
    }
)
QUERIES = pa.table({"query_id": ["q1", "q2"], "text": ["which text is it", "title"], "split": ["train", "test"]})
RESOURCES = ResourcesConfig(encode=WorkerResources(cpus=2, batch_rows=8))
INPUTS = {"passages": MemoryTable(PASSAGES), "queries": MemoryTable(QUERIES)}


def _vectors(output: Output, folder: Path) -> Mapping[str, Mapping[str, np.ndarray]]:
    """Vectors by table and id, of what `RowWriter(folder)` stored."""
    assert output.stored is not None
    found: dict[str, dict[str, np.ndarray]] = {"passage_vectors": {}, "query_vectors": {}}
    for table, part in tables.stored(output.stored, print):
        for row in parts.read(str(folder / table), part).to_pylist():
            found[table][row["id"]] = np.frombuffer(row["vector"], "<f2")
    return found


@pytest.mark.usefixtures("ray_session")
def test_every_passage_and_query_gets_the_vector_of_the_encoder(tmp_path: Path) -> None:
    config = EncoderConfig(
        model=str(tiny_bert(tmp_path / "tiny")), passage_prompt="doc ", query_max_length=16, passage_max_length=32
    )
    done = recovered("passage_vectors", pa.table({"id": ["p4", "p29"]}))
    context = Context(RESOURCES, tmp_path, recovered=done, store_rows=tables.RowWriter(str(tmp_path)))
    output = run(Inputs(INPUTS), context, encoder=config)
    made = _vectors(output, tmp_path)
    passages, queries = made["passage_vectors"], made["query_vectors"]

    assert output.rows_in == 32
    assert set(passages) == set(PASSAGES["passage_id"].to_pylist()) - {"p4", "p29"}
    assert set(queries) == {"q1", "q2"}
    encoder = Encoder.load(tmp_path / "tiny", Recipe.of(config))
    expected_ND = encoder.encode(["A title " + PASSAGES["text"][5].as_py().strip(), ""], "passage")
    np.testing.assert_allclose(passages["p5"], expected_ND[0], atol=1e-3)
    np.testing.assert_allclose(passages["p3"], encoder.encode(["A title"], "passage")[0], atol=1e-3)
    np.testing.assert_allclose(queries["q2"], encoder.encode(["title"], "query")[0], atol=1e-3)
    facts = output.facts()
    assert facts["dimensions"] == 32
    assert facts["truncated_queries"] == 0
    assert 0 < facts["truncated_passages"] < 30


@pytest.mark.usefixtures("ray_session")
def test_a_trained_model_takes_the_place_of_the_configs(tmp_path: Path) -> None:
    base, tuned = tiny_bert(tmp_path / "base"), tiny_bert(tmp_path / "tuned", pooling="cls")
    config = EncoderConfig(model=str(base), query_max_length=16, passage_max_length=32)
    context = Context(RESOURCES, tmp_path, store_rows=tables.RowWriter(str(tmp_path)))
    output = run(Inputs(INPUTS, {"model": str(tuned)}), context, encoder=config)
    queries = _vectors(output, tmp_path)["query_vectors"]

    expected_D = Encoder.load(tuned, Recipe.of(config)).encode(["title"], "query")[0]
    np.testing.assert_allclose(queries["q2"], expected_D, atol=1e-3)


@pytest.mark.usefixtures("ray_session")
def test_a_folder_that_says_nothing_of_its_pooling_is_told_of(tmp_path: Path) -> None:
    base = tiny_bert(tmp_path / "base")
    (base / "modules.json").unlink()
    config = EncoderConfig(model=str(base), query_max_length=16, passage_max_length=32, query_prompt="find: ")
    context = Context(RESOURCES, tmp_path, store_rows=tables.RowWriter(str(tmp_path)))
    output = run(Inputs(INPUTS), context, encoder=config)
    queries = _vectors(output, tmp_path)["query_vectors"]

    expected_D = Encoder.load(base, Recipe("find: ", "", 16, 32, pooling="mean")).encode(["title"], "query")[0]
    np.testing.assert_allclose(queries["q2"], expected_D, atol=1e-3)
    (warning,) = output.facts()["warnings"]
    assert warning.startswith(f"encoder.model={base} has no modules.json")


@pytest.mark.usefixtures("ray_session")
def test_what_takes_long_is_stored_before_its_batch_is_through(tmp_path: Path) -> None:
    """Each row stands in one of the parts; with no time to lose, every batch of tokens is a part."""
    config = EncoderConfig(model=str(tiny_bert(tmp_path / "tiny")), query_max_length=16, passage_max_length=64)
    rows = range(100)
    long = pa.table(
        {"passage_id": [f"p{row}" for row in rows], "title": [""] * 100, "text": ["long text " * 100] * 100}
    )
    inputs = Inputs(INPUTS | {"passages": MemoryTable(long)})
    resources = ResourcesConfig(encode=WorkerResources(cpus=2, batch_rows=100))
    folder = str(tmp_path / "stored")

    def parts_of(seconds: float) -> list[Part]:
        writer = tables.RowWriter(f"{folder}/{seconds}")
        context = Context(resources, tmp_path, stake=Stake(seconds=seconds), store_rows=writer)
        output = run(inputs, context, encoder=config)
        assert output.stored is not None
        return [part for table, part in tables.stored(output.stored, print) if table == "passage_vectors"]

    (whole,) = parts_of(60)
    pieces = parts_of(1e-9)
    assert len(pieces) == 5  # 100 texts of 64 tokens, 1,536 tokens at a time
    ids = [name for part in pieces for name in parts.read(f"{folder}/1e-09/passage_vectors", part)["id"].to_pylist()]
    assert sorted(ids) == sorted(parts.read(f"{folder}/60/passage_vectors", whole)["id"].to_pylist())
    assert sorted(ids) == sorted(long["passage_id"].to_pylist())
