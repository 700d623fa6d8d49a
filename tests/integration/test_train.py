"""Training through Ray Train and DeepSpeed."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sentence_transformers import SentenceTransformer

from syneg import schemas
from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe, base_model
from syneg.errors import StageFailed
from syneg.settings.encoder import EncoderConfig
from syneg.settings.resources import ResourcesConfig, WorkerResources
from syneg.settings.train import TrainConfig
from syneg.stage import Context, Inputs
from syneg.train.stage import run
from tests.memory import MemoryTable
from tests.tiny_bert import tiny_bert
from tests.unit.train.instances import instance_table

ENCODER = EncoderConfig(query_prompt="query: ", query_max_length=12, passage_max_length=40)
TRAIN = TrainConfig(
    epochs=2, batch_size=4, chunk_size=4, learning_rate=1e-3, query_max_length=12, passage_max_length=16, zero_stage=1
)


def _inputs(rows: int) -> Inputs:
    table = instance_table(rows)
    rejected = table.slice(0, 1).set_column(5, schemas.INSTANCES.field("reject_reason"), pa.array(["empty_positive"]))
    return Inputs({"instances": MemoryTable(pa.concat_tables([rejected, table.slice(1)]))})


@pytest.mark.usefixtures("ray_session")
def test_the_packaged_model_learns_and_loads_in_sentence_transformers(tmp_path: Path) -> None:
    shown: list[str] = []
    resources = ResourcesConfig(train=WorkerResources(cpus=2))
    context = Context(resources=resources, scratch=tmp_path, progress=shown.append)
    output = run(_inputs(7), context, encoder=ENCODER, train=TRAIN)

    assert output.rows_in == output.rows_out == 6
    metrics = schemas.conform(_table(output.tables["metrics"]), schemas.METRICS)
    assert metrics["step"].to_pylist() == [0, 1, 2, 3]
    assert metrics["epoch"].to_pylist() == [0.5, 1.0, 1.5, 2.0]
    assert all(norm > 0 for norm in metrics["gradient_norm"].to_pylist())
    assert np.mean(metrics["loss"].to_pylist()[2:]) < np.mean(metrics["loss"].to_pylist()[:2])
    similarities = schemas.conform(_table(output.tables["similarities"]), schemas.SIMILARITIES)
    assert similarities.num_rows == 2 * (6 + 0 + 2 + 1 + 3 + 0 + 2)  # both epochs: positives and negatives of rows 1-6
    assert set(similarities["source"].to_pylist()) == {"positive", "synthetic", "bm25"}
    assert shown[-1].startswith("step ")
    facts = output.facts()
    assert (facts["steps"], facts["workers"], facts["gradient_clipping"]) == (4, 1, 1.0)

    model = SentenceTransformer(str(output.folders["model"]), device="cpu")
    tuned = Encoder.load(output.folders["model"], Recipe.of(ENCODER), device="cpu")
    texts = ["red fox", "a text that is longer than the twelve tokens of a query, but not than forty"]
    np.testing.assert_allclose(model.encode_query(texts), tuned.encode(texts, "query"), atol=1e-5)
    np.testing.assert_allclose(model.encode_document(texts), tuned.encode(texts, "passage"), atol=1e-5)
    base = Encoder.load(base_model(ENCODER), Recipe.of(ENCODER), device="cpu")
    assert np.abs(base.encode(texts, "query") - tuned.encode(texts, "query")).max() > 1e-3


def _table(rows: object) -> pa.Table:
    assert isinstance(rows, pa.Table)
    return rows


@pytest.mark.usefixtures("ray_session")
def test_a_broken_model_stops_the_run_with_step_and_rows(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "tiny")
    encoder = Encoder.load(folder, Recipe("", "", 12, 16), device="cpu")
    next(encoder.parameters()).data.fill_(float("nan"))
    encoder.save(folder)
    context = Context(resources=ResourcesConfig(), scratch=tmp_path)
    config = EncoderConfig(model=str(folder), query_max_length=12, passage_max_length=16)

    with pytest.raises(StageFailed, match=r"Step 1 of 4: .*\(q\d, p\d\)"):
        run(_inputs(7), context, encoder=config, train=TRAIN)


def test_nothing_to_train_on_is_said(tmp_path: Path) -> None:
    context = Context(resources=ResourcesConfig(), scratch=tmp_path)
    with pytest.raises(StageFailed, match="no instance to train on"):
        run(_inputs(1), context, encoder=ENCODER, train=TRAIN)
