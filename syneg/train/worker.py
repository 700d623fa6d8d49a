"""The loop that every Ray Train worker runs."""

import resource
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.train
import ray.train.torch
import torch
import torch.distributed

from syneg import schemas
from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe
from syneg.errors import StageFailed
from syneg.train.batches import Instances, Order, known_positives
from syneg.train.checkpoint import report_model
from syneg.train.engine import Engine, adamw
from syneg.train.job import Job
from syneg.train.schedule import learning_rate
from syneg.train.step import Place, Scored, Step


def train(job: Job) -> dict[str, Any]:
    """Trains over all epochs and reports the model. Returns facts for the manifest.

    Raises:
        StageFailed: a loss is not a finite number.
    """
    torch.set_num_threads(job.threads)
    config, workers = job.train, ray.train.get_context()
    place = Place(workers.get_world_rank(), workers.get_world_size())
    device = ray.train.torch.get_device()
    table = ray.get(job.instances)
    encoder = Encoder.load(job.folder, Recipe.of(job.encoder), str(device), job.encoder.trust_remote_code)
    engine = Engine.start(encoder, adamw(encoder, config), config)
    encoder.train()
    positives = known_positives(table) if config.in_batch_negatives else {}
    step = Step(encoder, engine, Instances(table), config, place, positives)
    order = Order(len(step.instances), config.batch_size, config.seed)
    steps = order.steps_per_epoch * config.epochs
    began = time.monotonic()
    for number in range(steps):
        _seed(config.seed, number, place.rank)
        step_began = time.monotonic()
        rows = order.rows(number)
        try:
            scored = step.backward(rows)
        except StageFailed as error:
            raise StageFailed(f"Step {number + 1} of {steps}: {error}") from error
        loss = _mean_loss(scored, len(rows), device)
        rate = learning_rate(number, steps, config.learning_rate, config.warmup_ratio)
        norm = engine.step(rate)
        if place.rank == 0:
            metrics = {
                "step": number,
                "epoch": (number + 1) / order.steps_per_epoch,
                "loss": loss,
                "learning_rate": rate,
                "gradient_norm": norm,
                "queries_per_second": len(rows) / (time.monotonic() - step_began),
            }
            job.journal.metrics.remote(metrics, f"step {number + 1}/{steps}  loss {loss:.3f}")
        if order.epoch_of(number) in (0, config.epochs - 1):
            job.journal.similarities.remote(number, place.rank, _similarities(number, scored))
    seconds = time.monotonic() - began
    ray.get(job.journal.line.remote())  # calls are answered in order, so all rows have arrived
    report_model(encoder, job.encoder, config, len(step.instances), place.rank)
    return {
        "steps": steps,
        "workers": place.workers,
        "device": device.type,
        "seconds": round(seconds, 3),
        "queries_per_second": round(len(step.instances) * config.epochs / seconds, 2),
        "peak_memory_bytes": _peak_memory(device),
    }


def _seed(seed: int, step: int, rank: int) -> None:
    """Dropout follows from the step, so that a resumed run draws what an unbroken one would have drawn."""
    (state,) = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)
    torch.manual_seed(int(state))


def _mean_loss(scored: Sequence[Scored], instances: int, device: torch.device) -> float:
    """Over the instances of all workers."""
    total = torch.stack([part.losses_Q.sum() for part in scored]).sum().to(device)
    torch.distributed.all_reduce(total)
    return float(total) / instances


def _similarities(step: int, scored: Sequence[Scored]) -> pa.Table:
    """A row for every query and passage of its own instance."""
    rows = []
    for part in scored:
        scores_QK = part.scores_QK.float().cpu().tolist()
        for instance, candidates, scores in zip(
            part.batch.instances, part.batch.candidates_QK.tolist(), scores_QK, strict=True
        ):
            rows += [
                {
                    "step": step,
                    "query_id": instance["query_id"],
                    "positive_id": instance["positive_id"],
                    "text_id": part.batch.passage_ids[passage],
                    "source": part.batch.sources[passage],
                    "score": score,
                }
                for passage, score in zip(candidates, scores, strict=True)
                if passage >= 0
            ]
    return pa.Table.from_pylist(rows, schemas.SIMILARITIES)


def _peak_memory(device: torch.device) -> int:
    """Bytes: of the CUDA device where there is one, of this process otherwise."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
