"""The step under DeepSpeed, in one process and in two, against the same step without it."""

import itertools
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe
from syneg.settings.train import TrainConfig
from syneg.train.batches import Instances, known_positives
from syneg.train.engine import Engine
from syneg.train.gradient_cache import PlainTrainee
from syneg.train.step import Place, Step
from tests.tiny_bert import tiny_bert
from tests.unit.train.instances import instance_table

ROWS = np.array([7, 2, 0, 9, 4, 1, 8])
TABLE = instance_table(10)
ZERO = (0, 1, 2)
MODES = ("own", "across")  # passages of the own instance; of all instances on all workers
CASES = list(itertools.product(ZERO, MODES))


def _config(zero: int, mode: str) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "chunk_size": 3,
            "in_batch_negatives": mode == "across",
            "cross_device_negatives": mode == "across",
            "temperature": 0.1,
            "query_max_length": 16,
            "passage_max_length": 32,
            "zero_stage": zero,
            "gradient_clipping": 1e6,
        }
    )


def _encoder(folder: Path) -> Encoder:
    return Encoder.load(folder, Recipe("", "", 16, 32), device="cpu").eval()


def _weights(encoder: Encoder) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in encoder.named_parameters()}


def _steps_under_deepspeed(rank: int, workers: int, port: int, folder: Path, out: Path) -> None:
    """One SGD step of learning rate 1 for each case, so that the weights move by the gradient. Rank 0 saves them."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"WORLD_SIZE": str(workers)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    found = {}
    for zero, mode in CASES:
        config, encoder = _config(zero, mode), _encoder(folder)
        engine = Engine.start(encoder, torch.optim.SGD(encoder.parameters(), lr=1.0), config)
        step = Step(encoder, engine, Instances(TABLE), config, Place(rank, workers), known_positives(TABLE))
        step.backward(ROWS)
        norm = engine.step(learning_rate=1.0)
        found[zero, mode] = (norm, _weights(encoder))
    if rank == 0:
        torch.save(found, out)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module", params=[1, 2])
def after_a_step(request: pytest.FixtureRequest, folder: Path) -> dict:
    """By case: the gradient's norm and the weights after one step with that many workers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    out = folder / f"{request.param}.pt"
    spawn(_steps_under_deepspeed, (request.param, port, folder, out), nprocs=request.param)
    return torch.load(out)


@pytest.mark.parametrize(("zero", "mode"), CASES)
def test_the_step_is_that_of_one_process_without_deepspeed(
    folder: Path, after_a_step: dict, zero: int, mode: str
) -> None:
    encoder = _encoder(folder)
    before = _weights(encoder)
    # On one worker the passages of all workers are those of the batch.
    config = _config(zero, mode).model_copy(update={"cross_device_negatives": False})
    Step(encoder, PlainTrainee(encoder), Instances(TABLE), config, Place(), known_positives(TABLE)).backward(ROWS)
    gradients = {name: weight.grad for name, weight in encoder.named_parameters() if weight.grad is not None}

    norm, after = after_a_step[zero, mode]
    assert len(gradients) > 20
    for name, gradient in gradients.items():
        torch.testing.assert_close(before[name] - after[name], gradient, rtol=1e-4, atol=1e-5)
    assert norm == pytest.approx(float(torch.nn.utils.get_total_norm(list(gradients.values()))), rel=1e-4)
