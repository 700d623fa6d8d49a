"""Training through Ray Train and DeepSpeed."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer

from syneg import schemas
from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe, base_model
from syneg.errors import StageFailed
from syneg.settings.encoder import EncoderConfig
from syneg.settings.resources import ResourcesConfig, TrainResources
from syneg.settings.train import DevConfig, TrainConfig
from syneg.stage import Context, Inputs
from syneg.train.stage import run
from tests.memory import MemoryTable
from tests.tiny_bert import tiny_bert
from tests.unit.train.instances import instance_table

PLACE = schemas.INSTANCES.get_field_index("reject_reason")

ENCODER = EncoderConfig(query_prompt="query: ", query_max_length=12, passage_max_length=40)
TRAIN = TrainConfig(
    epochs=2, batch_size=4, chunk_size=4, learning_rate=1e-3, query_max_length=12, passage_max_length=16, zero_stage=1
)


def _inputs(rows: int) -> Inputs:
    table = instance_table(rows)
    rejected = table.slice(0, 1).set_column(
        PLACE, schemas.INSTANCES.field("reject_reason"), pa.array(["empty_positive"])
    )
    return Inputs({"instances": MemoryTable(pa.concat_tables([rejected, table.slice(1)]))})


@pytest.mark.usefixtures("ray_session")
def test_the_packaged_model_learns_and_loads_in_sentence_transformers(tmp_path: Path) -> None:
    shown: list[str] = []
    resources = ResourcesConfig(train=TrainResources(cpus=2))
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
    transformer = AutoModel.from_pretrained(output.folders["model"])
    tokens = AutoTokenizer.from_pretrained(output.folders["model"])(
        [f"query: {text}" for text in texts], truncation=True, max_length=12, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        states_NLD = transformer(**tokens).last_hidden_state
    mask_NL1 = tokens["attention_mask"].unsqueeze(2)
    pooled_ND = normalize((states_NLD * mask_NL1).sum(dim=1) / mask_NL1.sum(dim=1), dim=1)
    np.testing.assert_allclose(pooled_ND.numpy(), tuned.encode(texts, "query"), atol=1e-5)
    card = (output.folders["model"] / "README.md").read_text("utf-8")
    assert "over 6 instances" in card
    assert "| train.temperature | `0.05` |" in card
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


def _with_dev(rows: int) -> Inputs:
    """As `_inputs`, and two dev queries, each the query of an instance and answered by its positive."""
    given = _inputs(rows)
    table = given.tables["instances"].table()
    passages = pa.table(
        [table["positive_id"], pa.repeat(pa.scalar(""), table.num_rows), table["positive"]], schema=schemas.PASSAGES
    )
    texts = table["query"].take([3, 5])
    queries = pa.table([["d0", "d1"], texts, ["dev", "dev"]], schema=schemas.QUERIES)
    qrels = pa.table([["d0", "d1"], ["p3", "p5"], pa.array([1, 1], pa.int32())], schema=schemas.QRELS)
    corpus = {"passages": MemoryTable(passages), "queries": MemoryTable(queries), "qrels": MemoryTable(qrels)}
    return Inputs({**given.tables, **corpus})


def _kill_a_worker() -> bool:
    """Of this test's own Ray, and nobody else's. Whether one was found: others of Ray's processes come and go."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "RayTrainWorker" in " ".join(process.cmdline()):
                process.kill()
                return True
    return False


@pytest.mark.usefixtures("ray_session")
def test_a_worker_that_dies_leaves_no_trace_in_what_is_learnt(tmp_path: Path) -> None:
    """Dropout on. All rows of an uninterrupted run, in value and number, and the same weights."""
    model = EncoderConfig(model=str(tiny_bert(tmp_path / "tiny")), query_max_length=12, passage_max_length=16)
    train = TRAIN.model_copy(
        update={"epochs": 40, "in_batch_negatives": True, "dev": DevConfig(every=60, passages="corpus")}
    )
    pool = TrainResources(cpus=1, checkpoint_steps=7, max_failures=1)
    killed: list[str] = []

    def kill_once(line: str) -> None:
        step = int(line.split()[1].partition("/")[0]) if line.startswith("step ") else 0
        if step > 7 and not killed and _kill_a_worker():
            killed.append(line)

    outputs = []
    for name, progress in ("uninterrupted", lambda line: None), ("killed", kill_once):
        scratch = tmp_path / name
        scratch.mkdir()
        context = Context(
            ResourcesConfig(train=pool), scratch, attempt=str(tmp_path / f"{name}-attempt"), progress=progress
        )
        outputs.append(run(_with_dev(30), context, encoder=model, train=train))
    whole, resumed = outputs
    assert killed
    assert resumed.facts()["resumed_at_step"] > 0
    assert whole.facts()["resumed_at_step"] is None
    assert resumed.facts()["dev"] == whole.facts()["dev"]
    assert whole.facts()["dev"]["best_step"] > 0  # else the weights below are those of the start
    for table, columns in ("metrics", ("step", "loss", "gradient_norm", "dev_ndcg")), ("similarities", ("score",)):
        found, expected = (_table(output.tables[table]) for output in (resumed, whole))
        assert found.num_rows == expected.num_rows
        for column in columns:
            values = [np.array(rows[column].to_pylist(), float) for rows in (found, expected)]
            np.testing.assert_allclose(*values, rtol=1e-5, atol=1e-5)
    weights = [load_file(output.folders["model"] / "model.safetensors") for output in outputs]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-5, atol=1e-5)


def test_nothing_to_train_on_is_said(tmp_path: Path) -> None:
    context = Context(resources=ResourcesConfig(), scratch=tmp_path)
    with pytest.raises(StageFailed, match="no instance to train on"):
        run(_inputs(1), context, encoder=ENCODER, train=TRAIN)
