"""Fine-tuning on the instances, by Ray Train."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.train import RunConfig, ScalingConfig, TrainingFailedError, WorkerGroupError
from ray.train.torch import TorchTrainer

from syneg.encoder.recipe import base_model
from syneg.errors import StageFailed, SynegError
from syneg.placement import node_group, threads
from syneg.settings.encoder import EncoderConfig
from syneg.settings.resources import WorkerResources
from syneg.settings.train import TrainConfig
from syneg.stage import Context, Inputs, Output
from syneg.train.job import MODEL, Job
from syneg.train.journal import Journal


def run(inputs: Inputs, context: Context, *, encoder: EncoderConfig, train: TrainConfig) -> Output:
    """Folder `model`, a row of `metrics` for each step, and `similarities` seen in the first and the last epoch.

    Raises:
        StageFailed: there is nothing to train on, a loss is not a finite number, or a worker died.
    """
    instances = _accepted(inputs.tables["instances"].table())
    if not instances.num_rows:
        raise StageFailed("There is no instance to train on: the mix rejected all. See its counts of rejected rows.")
    pool = context.resources.train
    journal: Any = ray.remote(Journal).options(num_cpus=0).remote()
    job = Job(
        inputs.folders.get("model") or base_model(encoder), encoder, train, ray.put(instances), journal, threads(pool)
    )
    trainer = TorchTrainer(
        _work,
        train_loop_config={"job": job},
        scaling_config=_scaling(pool),
        run_config=RunConfig(name="train", storage_path=str(context.scratch)),
    )
    with _shown(journal, context.progress):
        result = _fit(trainer)
    facts = {"gradient_clipping": train.gradient_clipping, **(result.return_value or {})}
    return Output(
        rows_in=instances.num_rows,
        rows_out=instances.num_rows,  # an epoch leaves none out
        tables=ray.get(journal.tables.remote()),
        folders={"model": Path(result.checkpoint.path) / MODEL},
        facts=lambda: facts,
    )


def _accepted(instances: pa.Table) -> pa.Table:
    return instances.filter(pc.field("reject_reason").is_null())


def _work(config: dict[str, Any]) -> dict[str, Any]:
    # Imported by the worker: it loads sentence-transformers, which takes the driver many seconds for nothing.
    from syneg.train.worker import train

    return train(config["job"])


def _scaling(pool: WorkerResources) -> ScalingConfig:
    resources = {"CPU": pool.cpus, **({"GPU": pool.gpus} if pool.gpus else {}), **node_group(pool)}
    return ScalingConfig(
        num_workers=pool.max_workers,
        use_gpu=pool.gpus > 0,
        resources_per_worker=resources,
        accelerator_type=pool.accelerator_type,
    )


def _fit(trainer: TorchTrainer) -> Any:
    """The trainer's result; of a failure the cause, where it is one that syneg explains."""
    try:
        return trainer.fit()
    except WorkerGroupError as error:
        for failure in error.worker_failures.values():
            cause = getattr(failure, "cause", failure)
            if isinstance(cause, SynegError):
                raise cause from error
        raise StageFailed(f"Training failed: {error}") from error
    except TrainingFailedError as error:
        raise StageFailed(f"Training failed: {error}") from error


@contextmanager
def _shown(journal: Any, progress: Callable[[str], None]) -> Iterator[None]:
    """Shows the journal's line every second for as long as the body runs, which itself only waits for the trainer."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1.0):
            progress(ray.get(journal.line.remote()))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
