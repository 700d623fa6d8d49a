"""The loop that every Ray Train worker runs."""

import math
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.train
import ray.train.torch
import torch
import torch.distributed as dist

from syneg import model_card
from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe
from syneg.errors import BadInput, StageFailed
from syneg.settings.train import TrainConfig
from syneg.store import files
from syneg.train import trainable
from syneg.train.batches import Order
from syneg.train.checkpoint import Checkpoint, Checkpoints, put_whole
from syneg.train.dev import DevSplit
from syneg.train.engine import Engine
from syneg.train.instances import Instances
from syneg.train.job import Job
from syneg.train.learning_rate import learning_rate
from syneg.train.measure import WINDOW, Record, Summed, not_finite, operations_per_token, peak_of, step_sums
from syneg.train.node import data_folder, forget_copy, peak_memory
from syneg.train.peers import Peers
from syneg.train.plain import PlainEngine
from syneg.train.selection import Selection
from syneg.train.similarities import similarities
from syneg.train.step import Prepared, Step
from syneg.train.watch import WISHES, CheckpointClock

_LOOKED_AT = 32  # instances whose vectors are looked at before a model is put


def train(job: Job) -> dict[str, Any]:
    """Trains over all epochs, puts the model into the store and returns facts for the manifest and its address.

    What another attempt would only run into again is written in the journal and not raised, so that Ray Train does not
    try again; all workers come to it at the same step.
    """
    try:
        return _Training.start(job).run()
    except (StageFailed, BadInput) as failure:
        ray.get(job.journal.fail.remote(failure))
        return {}


@dataclass
class _Training:
    job: Job
    peers: Peers
    encoder: Encoder
    engine: Engine | PlainEngine
    step: Step
    order: Order
    record: Record
    selection: Selection
    checkpoints: Checkpoints
    first: int  # step
    warnings: list[str]
    clock: CheckpointClock
    _helpers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2))
    _saving: "Future[None] | None" = None

    @classmethod
    def start(cls, job: Job) -> "_Training":
        """From the base model, or from the newest whole checkpoint that an earlier attempt left."""
        torch.set_num_threads(job.threads)
        config, context = job.train, ray.train.get_context()
        peers = Peers(context.get_world_rank(), context.get_world_size())
        device = ray.train.torch.get_device()
        data = data_folder(job, context.get_local_rank())
        checkpoints = Checkpoints(files.join(job.attempt, "checkpoints"))
        newest = checkpoints.newest() if peers.rank == 0 else None
        address, warnings = _told_by_first(newest and (newest.address, newest.warnings))
        found = newest.checkpoint if newest else checkpoints.load(address) if address else None

        encoder = _load(job, str(device))
        trainable.prepare(encoder, config)
        instances = Instances.open(data)
        dev = DevSplit.open(data) if config.dev.every else None
        selection = Selection(dev, config.dev, peers)
        if found is None:
            selection.begin(encoder)
        else:
            trainable.restore(encoder, found.weights)
            selection.progress, selection.best = found.progress, found.best
        engine = _engine(encoder, config, peers)
        record = _record(job, peers, encoder, device)
        if found is not None:
            engine.restore_moments(found.moments, found.progress.step)
        recorded, lost = checkpoints.recorded(selection.progress.step)
        record.norms.extend(recorded["metrics"]["gradient_norm"].to_pylist()[-WINDOW:])
        if peers.rank == 0:
            ray.get(job.journal.rewind.remote(recorded))
        dist.barrier()  # the journal forgets before anybody writes to it
        forget_copy(data, job, context.get_local_rank())
        encoder.train()
        known = instances.known_positives()
        step = Step(encoder, engine, instances, config, peers, known)
        order = Order(len(instances), config.batch_size, config.seed)
        order.check_shares(peers.workers)
        return cls(
            job,
            peers,
            encoder,
            engine,
            step,
            order,
            record,
            selection,
            checkpoints,
            first=selection.progress.step,
            warnings=[*warnings, *lost],
            clock=CheckpointClock(job.pool),
        )

    def run(self) -> dict[str, Any]:
        job, config = self.job, self.job.train
        steps, began = self.order.steps_per_epoch * config.epochs, time.monotonic()
        number, trained = self.first, 0
        upcoming = self._prepare(number, steps)
        while number < steps and not self.selection.exhausted:
            _seed(config.seed, number, self.peers.rank)
            step_began = time.monotonic()
            prepared, upcoming = upcoming.result(), self._prepare(number + 1, steps)
            rate = learning_rate(number, steps, config.learning_rate, config.warmup_ratio)
            row, wishes = self._train_on(prepared, number, steps, rate, step_began)
            number, trained = number + 1, trained + prepared.instances
            self.selection.progress = replace(self.selection.progress, step=number)
            if self.selection.is_due(number, steps):
                wait([upcoming])  # a tokeniser serves one thread at a time
                row["dev_ndcg"] = self.selection.look(self.encoder, number)
            if self.peers.rank == 0:
                job.journal.metrics.remote(row, self._line(row, number, steps))
            if self.clock.agreed_to_save(wishes) and number < steps:
                self._save()
        seconds = time.monotonic() - began
        if self._saving is not None:
            self._saving.result()
        ray.get(job.journal.line.remote())  # calls are answered in order, so all rows have arrived
        wait([upcoming])
        self._check_finite(number)
        self.selection.finish(self.encoder, partial(_load, job, "cpu"), adapters=config.lora is not None)
        facts = self._facts(number, trained, seconds) | self.selection.facts()
        if warnings := [*self.warnings, *self.selection.warnings]:
            facts["warnings"] = warnings
        return facts | self._put_model(facts)

    def _prepare(self, number: int, steps: int) -> "Future[Prepared]":
        """What a step needs and no model, by a thread of its own while the step before it computes."""
        return self._helpers.submit(self.step.prepare, self.order.rows(min(number, steps - 1)))

    def _train_on(
        self, prepared: Prepared, number: int, steps: int, rate: float, began: float
    ) -> tuple[dict[str, Any], list[bool]]:
        """One step. Its row of the metrics, and what the workers wish.

        Raises:
            StageFailed: a loss or the gradient is not a finite number; on all workers.
        """
        config = self.job.train
        scored = self.step.backward(prepared)
        sums = step_sums(scored, self.job.sources, self.clock.wishes(number, self.peers.rank))
        summed = Summed.of(self.peers.total(sums.to(self.encoder.device)), len(WISHES))
        if not math.isfinite(summed.loss):
            rows = [name for names in _told_by_all(not_finite(scored), self.peers) for name in names]
            raise StageFailed(
                f"Step {number + 1} of {steps}: the loss is not a finite number for {len(rows)} of "
                f"{prepared.instances} instances, (query, positive): {', '.join(rows[:20])}. "
                "Lower train.learning_rate, or raise train.temperature."
            )
        norm = self.engine.step(rate)
        if not math.isfinite(norm):
            raise StageFailed(
                f"Step {number + 1} of {steps}: the gradient is not finite, though every loss is. "
                "Lower train.learning_rate, or raise train.temperature."
            )
        if self.order.epoch_of(number) in (0, config.epochs - 1):
            self.job.journal.similarities.remote(number, self.peers.rank, similarities(number, scored))
        row = self.record.row(summed, prepared.instances, norm, time.monotonic() - began)
        row |= {"step": number, "epoch": (number + 1) / self.order.steps_per_epoch, "learning_rate": rate}
        return row, summed.wishes

    def _line(self, row: dict[str, Any], number: int, steps: int) -> str:
        dev = f"  dev nDCG@10 {row['dev_ndcg']:.4f}" if "dev_ndcg" in row else ""
        return f"step {number}/{steps}  loss {row['loss']:.3f}  {row['queries_per_second']:.1f} queries/s{dev}"

    def _save(self) -> None:
        """A checkpoint: gathered by all, written by the first worker while the next steps compute."""
        if self._saving is not None:
            self._saving.result()
        ray.get(self.job.journal.line.remote())  # what this worker recorded has arrived
        is_first = self.peers.rank == 0
        moments = {name: moment for name, moment in self.engine.moments() if is_first}
        dist.barrier()
        if is_first:
            selection = self.selection
            found = Checkpoint(selection.progress, trainable.snapshot(self.encoder), moments, selection.best)
            since = self.clock.saved_until(self.first)
            recorded: Any = ray.get(self.job.journal.tables.remote(since))
            self._saving = self._helpers.submit(self.checkpoints.save, found, recorded, since)
            self.clock.saved(selection.progress.step)

    def _check_finite(self, steps: int) -> None:
        """The losses are those of the weights before each step: of what the last one made nobody has seen any.

        Raises:
            StageFailed: weights, or vectors of some instances' queries, are not finite numbers; on all workers.
        """
        rows = np.arange(min(_LOOKED_AT, self.order.instances))
        queries = [instance["query"] for instance in self.step.instances.rows(rows)]
        with torch.no_grad():
            vectors_ND = self.encoder(self.encoder.features(queries, "query", self.job.train.query_max_length))
        broken = not trainable.finite(self.encoder) or not bool(vectors_ND.isfinite().all())
        if self.peers.total(torch.tensor([float(broken)], device=vectors_ND.device)).item():
            raise StageFailed(
                f"Step {steps} left a model whose weights or vectors are not finite numbers, so it is not kept. "
                "Lower train.learning_rate, or raise train.temperature."
            )

    def _facts(self, steps: int, trained: int, seconds: float) -> dict[str, Any]:
        return {
            "steps": steps,
            "resumed_at_step": self.first or None,
            "workers": self.peers.workers,
            "device": self.encoder.device.type,
            "seconds": round(seconds, 3),
            "queries_per_second": round(trained / seconds, 2) if trained else 0.0,
            "peak_memory_bytes": peak_memory(self.encoder.device),
        }

    def _put_model(self, facts: dict[str, Any]) -> dict[str, Any]:
        """The model's address in the store, known to the first worker, which puts it there."""
        if self.peers.rank != 0:
            return {}
        job = self.job
        with tempfile.TemporaryDirectory() as folder:
            self.encoder.save(Path(folder))
            sections = job.encoder.model_dump(mode="json"), job.train.model_dump(mode="json")
            text = model_card.render(*sections, self.order.instances, job.sources, facts.get("dev"))
            (Path(folder) / "README.md").write_text(text, "utf-8")
            return {"model": put_whole(Path(folder), files.join(job.attempt, f"model-{time.time_ns()}"))}


def _load(job: Job, device: str) -> Encoder:
    """The model that training begins with."""
    return Encoder.load(job.folder, Recipe.of(job.encoder), device, job.encoder.trust_remote_code)


def _engine(encoder: Encoder, train: TrainConfig, peers: Peers) -> Engine | PlainEngine:
    optimizer = trainable.adamw(encoder, train)
    if train.zero_stage is None:
        return PlainEngine.start(encoder, optimizer, train, peers)
    return Engine.start(encoder, optimizer, train)


def _record(job: Job, peers: Peers, encoder: Encoder, device: torch.device) -> Record:
    peak = peak_of(device)
    return Record(job.sources, operations_per_token(encoder), peak and peak * peers.workers)


def _told_by_first(value: Any) -> Any:
    """What the first worker brings, on every worker."""
    told = [value]
    dist.broadcast_object_list(told)
    return told[0]


def _told_by_all(value: Any, peers: Peers) -> list[Any]:
    told: list[Any] = [None] * peers.workers
    dist.all_gather_object(told, value)
    return told


def _seed(seed: int, step: int, rank: int) -> None:
    """Dropout follows from the step, so that a resumed run draws what an unbroken one would have drawn."""
    (state,) = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)
    torch.manual_seed(int(state))
