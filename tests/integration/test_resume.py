"""The worker's loop without Ray around it: dying at named points, going on from a checkpoint."""

import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense

from syneg import schemas
from syneg.settings.encoder import EncoderConfig
from syneg.settings.resources import TrainResources
from syneg.settings.train import DevConfig, TrainConfig
from syneg.train import dev, instances, watch, worker
from syneg.train.checkpoint import Checkpoints
from syneg.train.job import Job
from syneg.train.journal import Journal
from tests.tiny_bert import tiny_bert
from tests.unit.train.instances import instance_table

TRAIN: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 4,
    "chunk_size": 5,
    "learning_rate": 1e-3,
    "in_batch_negatives": True,
    "query_max_length": 12,
    "passage_max_length": 16,
    "dev": {"every": 3, "passages": "corpus"},
}
STEPS = 15  # 20 instances, 3 epochs


class _Died(Exception):
    """What no code of ours catches."""


class _Here:
    """An actor's handle whose calls happen at once; `ray.get` gives back what they gave."""

    def __init__(self, journal: Journal, dies_after: int | None) -> None:
        self._journal, self._dies_after = journal, dies_after

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any) -> Any:
            if name == "metrics" and given[0]["step"] == self._dies_after:
                raise _Died
            return getattr(self._journal, name)(*given)

        return SimpleNamespace(remote=call)


@pytest.fixture(scope="module", autouse=True)
def one_worker() -> Iterator[None]:
    """A process group of one for all tests here: DeepSpeed remembers the first that it sees."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = SimpleNamespace(get_world_rank=lambda: 0, get_world_size=lambda: 1, get_local_rank=lambda: 0)
    train = SimpleNamespace(get_context=lambda: context, torch=SimpleNamespace(get_device=lambda: torch.device("cpu")))
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in place.items():
            patch.setitem(os.environ, name, value)
        patch.setattr(worker, "ray", SimpleNamespace(get=lambda value: value, train=train))
        patch.setattr(watch, "ray", SimpleNamespace(train=SimpleNamespace(get_preemption_info=lambda: None)))
        dist.init_process_group("gloo")
        yield
        dist.destroy_process_group()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    instances.write([instance_table(20)], folder)
    _write_dev(folder, "query")  # trained on, so that training finds something better than the start
    return folder


def _write_dev(folder: Path, text: str) -> None:
    """Four dev queries, whose text is that column of an instance, and whose answer is its positive."""
    table = instance_table(20)
    passages = pa.table([table["positive_id"], [""] * 20, table["positive"]], schema=schemas.PASSAGES)
    asked = table.slice(3, 4)
    queries = pa.table([asked["query_id"], asked[text], ["dev"] * 4], schema=schemas.QUERIES)
    qrels = pa.table([asked["query_id"], asked["positive_id"], [1] * 4], schema=schemas.QRELS)
    dev.write(queries, qrels, [passages], folder)


def _job(tmp_path: Path, data: Path, name: str, dies_after: int | None = None, **changes: Any) -> Job:
    return Job(
        folder=str(tiny_bert(tmp_path / "tiny")),
        encoder=EncoderConfig(query_max_length=12, passage_max_length=16),
        train=TrainConfig.model_validate(TRAIN | changes),
        pool=TrainResources(checkpoint_steps=2),
        attempt=str(tmp_path / name),
        data=data,
        stored_data=None,
        sources=("bm25", "synthetic"),
        journal=_Here(Journal(), dies_after),
        threads=1,
    )


def _assert_same(found: Job, found_facts: dict, expected: Job, expected_facts: dict) -> None:
    """The rows of both tables, the weights, and what was found on dev."""
    tables = [job.journal.tables.remote() for job in (found, expected)]
    for name, columns in (
        ("metrics", ("step", "loss", "gradient_norm", "gradient_norm_variance", "dev_ndcg")),
        (
            "similarities",
            ("step", "score"),
        ),
    ):
        assert tables[0][name].num_rows == tables[1][name].num_rows
        for column in columns:
            values = [np.array(each[name][column].to_pylist(), float) for each in tables]
            np.testing.assert_allclose(*values, rtol=1e-5, atol=1e-5)
    assert tables[0]["similarities"]["text_id"] == tables[1]["similarities"]["text_id"]
    weights = [load_file(Path(facts["model"]) / "model.safetensors") for facts in (found_facts, expected_facts)]
    for name, weight in weights[1].items():
        torch.testing.assert_close(weights[0][name], weight, rtol=1e-5, atol=1e-5)
    assert found_facts.get("dev") == expected_facts.get("dev")


def test_whoever_dies_wherever_goes_on_as_if_nothing_had_happened(tmp_path: Path, data: Path) -> None:
    """Dropout on. Before the first checkpoint, in an epoch's middle, after the last checkpoint."""
    whole = _job(tmp_path, data, "whole")
    whole_facts = worker.train(whole)
    assert whole_facts["resumed_at_step"] is None
    assert whole_facts["dev"]["best_step"] > 0  # else the weights that are compared are those of the start
    assert whole.journal.tables.remote()["metrics"]["step"].to_pylist() == list(range(STEPS))
    for name in ("a", "b"):  # a: three deaths of drivers, each with a journal of its own; b: of one worker
        for dies_after in (0, 6, 14) if name == "a" else (7,):
            with pytest.raises(_Died):
                worker.train(_job(tmp_path, data, name, dies_after))
        resumed = _job(tmp_path, data, name)
        facts = worker.train(resumed)
        assert facts["resumed_at_step"] == (14 if name == "a" else 6)
        _assert_same(resumed, facts, whole, whole_facts)


CHANGED = (
    {"lora": {"rank": 4}, "dev": {}},
    {"trained_layers": 1, "zero_stage": 0},
    {"zero_stage": None, "layer_decay": 0.5},
)


def test_adapters_layers_and_plain_adamw_resume_too(tmp_path: Path, data: Path) -> None:
    for number, changes in enumerate(CHANGED):
        whole, killed = (_job(tmp_path, data, f"{kind}{number}", **changes) for kind in ("whole", "killed"))
        whole_facts = worker.train(whole)
        with pytest.raises(_Died):
            worker.train(_job(tmp_path, data, f"killed{number}", 9, **changes))
        facts = worker.train(killed)
        assert facts["resumed_at_step"] == 8
        _assert_same(killed, facts, whole, whole_facts)


def test_training_ends_when_dev_gets_no_better_and_mixes_with_the_base(tmp_path: Path, data: Path) -> None:
    patient = DevConfig(every=1, passages="corpus", patience=2, merge_weights=(0.0, 0.5)).model_dump()
    job = _job(tmp_path, data, "patient", learning_rate=1e-9, dev=patient)
    facts = worker.train(job)
    assert facts["steps"] == 2  # the start is the best so far, and two looks found nothing better
    assert facts["dev"]["best_step"] == 0
    assert set(facts["dev"]["merge_scores"]) == {"0", "0.5", "1"}
    assert facts["dev"]["merge_weight"] == 0.0  # nothing was learnt: of equal scores that of the start counts
    assert Checkpoints(f"{job.attempt}/checkpoints").newest()[0] is not None


def test_training_that_only_hurts_leaves_the_model_as_it_was(tmp_path: Path, data: Path) -> None:
    """Also where it dies before the end: the weights of the start are in the checkpoint."""
    _write_dev(data, "positive")  # any model finds a text by itself
    given: dict[str, Any] = {"learning_rate": 1.0, "dev": {"every": 3, "passages": "corpus"}}
    with pytest.raises(_Died):
        worker.train(_job(tmp_path, data, "hurt", 6, **given))
    job = _job(tmp_path, data, "hurt", **given)
    facts = worker.train(job)
    assert (facts["steps"], facts["resumed_at_step"], facts["dev"]["best_step"]) == (STEPS, 6, 0)
    assert facts["dev"]["chosen"] == facts["dev"]["best"] == facts["dev"]["base"] == 1.0
    assert facts["warnings"] == ["no look was better than the start: the weights are those that training began with"]
    found, start = (load_file(Path(place) / "model.safetensors") for place in (facts["model"], job.folder))
    for name, weight in start.items():
        assert torch.equal(found[name], weight), name


def _with_rate(job: Job, rate: float) -> Job:
    """A rate that no config may ask for."""
    return replace(job, train=job.train.model_copy(update={"learning_rate": rate}))


def test_a_gradient_that_is_no_number_ends_it_once_and_for_all(tmp_path: Path, data: Path) -> None:
    job = _with_rate(_job(tmp_path, data, "broken", dev={}), 1e30)
    assert worker.train(job) == {}
    assert "Step 2 of 15: the loss is not a finite number for 4 of 4 instances" in str(job.journal.failure.remote())


@pytest.mark.parametrize(
    ("dev_every", "message"), [(None, "Step 1 left a model whose weights or vectors"), (1, "After step 1 the vectors")]
)
def test_what_the_last_step_broke_is_not_published(
    tmp_path: Path, data: Path, dev_every: int | None, message: str
) -> None:
    given = {"epochs": 1, "batch_size": 20, "dev": {"every": dev_every, "passages": "corpus"}}
    job = _with_rate(_job(tmp_path, data, "broken", **given), 1e25)
    assert worker.train(job) == {}
    assert message in str(job.journal.failure.remote())
    assert not list(Path(job.attempt).glob("model-*"))


@pytest.mark.parametrize("zero_stage", [1, 2])
def test_a_model_with_a_dense_module_is_saved_as_it_was_trained(tmp_path: Path, data: Path, zero_stage: int) -> None:
    """ZeRO makes each weight a view of one buffer, which safetensors does not write."""
    folder = tiny_bert(tmp_path / "dense")
    model = SentenceTransformer(str(folder), device="cpu")
    model.append(Dense(32, 24))
    model.save(str(folder), create_model_card=False)
    job = replace(_job(tmp_path, data, "dense", zero_stage=zero_stage, epochs=1, dev={}), folder=str(folder))
    facts = worker.train(job)
    tuned = SentenceTransformer(facts["model"], device="cpu")
    assert tuned.encode(["red fox"]).shape == (1, 24)
    weights = [dict(each.named_parameters())["2.linear.weight"] for each in (model, tuned)]
    assert (weights[0] - weights[1]).abs().max() > 1e-4


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path, data: Path) -> None:
    whole = _job(tmp_path, data, "whole")
    whole_facts = worker.train(whole)
    with pytest.raises(_Died):
        worker.train(_job(tmp_path, data, "damaged", 9))
    older, newest = (seal.parent for seal in sorted(tmp_path.glob("damaged/checkpoints/steps/*/whole.json")))
    (newest / "weights.safetensors").write_bytes(b"damaged")
    resumed = _job(tmp_path, data, "damaged")
    facts = worker.train(resumed)
    assert facts["resumed_at_step"] == 6
    assert older.name.startswith("step-00000006")
    (warning,) = facts["warnings"]
    assert newest.name in warning
    _assert_same(resumed, facts, whole, whole_facts)


def test_lost_records_are_told(tmp_path: Path, data: Path) -> None:
    with pytest.raises(_Died):
        worker.train(_job(tmp_path, data, "lost", 9))
    shutil.rmtree(sorted((tmp_path / "lost" / "checkpoints" / "records").iterdir())[1])
    facts = worker.train(_job(tmp_path, data, "lost"))
    assert facts["warnings"] == ["what was recorded of steps 0 to 3 is lost"]
