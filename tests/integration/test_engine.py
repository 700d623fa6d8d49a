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
from syneg.train import trainable
from syneg.train.engine import Engine
from syneg.train.gradient_cache import PlainTrainee
from syneg.train.instances import Instances
from syneg.train.peers import Peers
from syneg.train.plain import PlainEngine
from syneg.train.step import Step
from tests.tiny_bert import tiny_bert
from tests.unit.train.instances import instance_table

torch.set_num_threads(1)  # the tensors are tiny: threads would only wait for each other
ROWS = np.array([7, 2, 0, 9, 4, 1, 8])
INSTANCES = Instances.of(instance_table(10))
ZERO = (0, 1, 2, None)  # None: without DeepSpeed
MODES = ("own", "across", "both")  # passages of the own instance; of all on all workers; and the reverse direction
CASES = list(itertools.product(ZERO, MODES))


def _config(zero: int | None, mode: str) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "chunk_size": 3,
            "in_batch_negatives": mode != "own",
            "cross_device_negatives": mode != "own",
            "both_directions": mode == "both",
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


def _engine(
    encoder: Encoder, optimizer: torch.optim.Optimizer, config: TrainConfig, peers: Peers
) -> Engine | PlainEngine:
    if config.zero_stage is None:
        return PlainEngine.start(encoder, optimizer, config, peers)
    return Engine.start(encoder, optimizer, config)


def _join(rank: int, workers: int, port: int) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"WORLD_SIZE": str(workers)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _steps_under_deepspeed(rank: int, workers: int, port: int, folder: Path, out: Path) -> None:
    """One SGD step of learning rate 1 for each case, so that the weights move by the gradient. Rank 0 saves them."""
    _join(rank, workers, port)
    found = {}
    for zero, mode in CASES:
        config, encoder = _config(zero, mode), _encoder(folder)
        peers = Peers(rank, workers)
        engine = _engine(encoder, torch.optim.SGD(encoder.parameters(), lr=1.0), config, peers)
        step = Step(encoder, engine, INSTANCES, config, peers, INSTANCES.known_positives())
        step.backward(step.prepare(ROWS))
        norm = engine.step(learning_rate=1.0)
        found[zero, mode] = (norm, _weights(encoder))
    if rank == 0:
        torch.save(found, out)
    dist.destroy_process_group()


def _adam_under_deepspeed(rank: int, workers: int, port: int, folder: Path, start: Path | None, out: Path) -> None:
    """Two steps of AdamW for each stage of ZeRO, or from a state after the first one; rank 0 saves both states."""
    _join(rank, workers, port)
    found, begun = {}, torch.load(start) if start else None
    for zero in ZERO:
        config, encoder = _config(zero, "across"), _encoder(folder)
        if begun:
            trainable.restore(encoder, begun[zero, 1][0])
        peers = Peers(rank, workers)
        engine = _engine(encoder, trainable.adamw(encoder, config), config, peers)
        if begun:
            engine.restore_moments(begun[zero, 1][1], steps=1)
        step = Step(encoder, engine, INSTANCES, config, peers, INSTANCES.known_positives())
        for number in (2,) if begun else (1, 2):
            step.backward(step.prepare(ROWS[:: 3 - 2 * number]))
            engine.step(learning_rate=1e-3)
            found[zero, number] = (trainable.snapshot(encoder), dict(engine.moments()))
    if rank == 0:
        torch.save(found, out)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module", params=[1, 2])
def after_a_step(request: pytest.FixtureRequest, folder: Path) -> dict:
    """By case: the gradient's norm and the weights after one step with that many workers."""
    out = folder / f"{request.param}.pt"
    spawn(_steps_under_deepspeed, (request.param, _free_port(), folder, out), nprocs=request.param)
    return torch.load(out)


@pytest.mark.parametrize(("zero", "mode"), CASES)
def test_the_step_is_that_of_one_process_without_deepspeed(
    folder: Path, after_a_step: dict, zero: int | None, mode: str
) -> None:
    encoder = _encoder(folder)
    before = _weights(encoder)
    # On one worker the passages of all workers are those of the batch.
    config = _config(zero, mode).model_copy(update={"cross_device_negatives": False})
    step = Step(encoder, PlainTrainee(encoder), INSTANCES, config, Peers(), INSTANCES.known_positives())
    step.backward(step.prepare(ROWS))
    gradients = {name: weight.grad for name, weight in encoder.named_parameters() if weight.grad is not None}

    norm, after = after_a_step[zero, mode]
    assert len(gradients) > 20
    for name, gradient in gradients.items():
        torch.testing.assert_close(before[name] - after[name], gradient, rtol=1e-4, atol=1e-5)
    assert norm == pytest.approx(float(torch.nn.utils.get_total_norm(list(gradients.values()))), rel=1e-4)


def test_two_workers_become_one(folder: Path) -> None:
    """Weights and moments after a step on two workers, taken up by one, lead to where the two would have come."""
    whole, resumed = folder / "whole.pt", folder / "resumed.pt"
    spawn(_adam_under_deepspeed, (2, _free_port(), folder, None, whole), nprocs=2)
    spawn(_adam_under_deepspeed, (1, _free_port(), folder, whole, resumed), nprocs=1)
    expected, found = torch.load(whole), torch.load(resumed)
    for zero in ZERO:
        for made, wanted in zip(found[zero, 2], expected[zero, 2], strict=True):
            assert made.keys() == wanted.keys()
            for name, values in wanted.items():
                if name.endswith("key.bias"):  # its true gradient is 0: what Adam makes of rounding is noise
                    continue
                torch.testing.assert_close(made[name], values, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    for made, wanted in zip(found[None, 2], found[0, 2], strict=True):  # DeepSpeed or not
        for name, values in wanted.items():
            if not name.endswith("key.bias"):
                torch.testing.assert_close(made[name], values, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    assert all(moment.abs().sum() > 0 for name, moment in found[1, 2][1].items() if "pooler" not in name)
