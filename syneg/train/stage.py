"""Fine-tuning on the instances, by Ray Train."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any

import ray
import ray.exceptions
from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError, WorkerGroupError
from ray.train.torch import TorchTrainer

from syneg.encoder.recipe import base_model
from syneg.errors import StageFailed, SynegError
from syneg.on_ray.placement import asked_cpus, beside_driver, node_group, threads
from syneg.settings.encoder import EncoderConfig
from syneg.settings.resources import ResourcesConfig, TrainResources
from syneg.settings.train import TrainConfig
from syneg.stage import Context, Inputs, Output
from syneg.train import data
from syneg.train.job import Job
from syneg.train.journal import Journal
from syneg.train.trackers import Telling, Tracker, asked_for


def run(inputs: Inputs, context: Context, *, encoder: EncoderConfig, train: TrainConfig) -> Output:
    """Folder `model`, a row of `metrics` for each step, and `similarities` seen in the first and last planned epoch.

    Starts from the folder `model` where the stage reads one, from the config's otherwise; and from the newest
    checkpoint where an earlier attempt left one.

    Raises:
        BadInput: the model or the dev split cannot serve what the config asks for.
        StageFailed: there is nothing to train on, a loss is not a finite number, or workers died too often.
    """
    pool = context.resources.train
    brought = data.bring(inputs, context, train)
    if not brought.instances.rows:
        raise StageFailed("There is no instance to train on: the mix rejected all. See its counts of rejected rows.")
    journal: Any = ray.remote(Journal).options(**beside_driver()).remote()
    job = Job(
        folder=inputs.folders.get("model") or base_model(encoder),
        encoder=encoder,
        train=train,
        pool=pool,
        attempt=brought.attempt,
        data=brought.folder,
        stored_data=brought.stored,
        sources=brought.instances.sources,
        journal=journal,
        threads=threads(pool),
    )
    trainer = TorchTrainer(
        _work,
        train_loop_config={"job": job},
        scaling_config=_scaling(pool, context.resources),
        run_config=RunConfig(
            name="train",
            storage_path=str(context.scratch / "ray"),  # for Ray's own notes; checkpoints go to the store
            failure_config=FailureConfig(max_failures=pool.max_failures),
        ),
    )
    with shown(journal, context.progress, asked_for(pool, context.title)) as warnings:
        found = _fit(trainer, journal)
    model = data.fetch_model(found.pop("model"), context.scratch)
    told = [*found.pop("warnings", ()), *warnings]
    facts = {"gradient_clipping": train.gradient_clipping, **found, **({"warnings": told} if told else {})}
    return Output(
        rows_in=brought.instances.rows,
        rows_out=brought.instances.rows,  # an epoch leaves none out
        tables=ray.get(journal.tables.remote()),
        folders={"model": model},
        facts=lambda: facts,
    )


def _work(config: dict[str, Any]) -> dict[str, Any]:
    # Imported by the worker: it loads sentence-transformers, which takes the driver many seconds for nothing.
    from syneg.train.worker import train

    return train(config["job"])


def _scaling(pool: TrainResources, resources: ResourcesConfig) -> ScalingConfig:
    cpus = asked_cpus(pool, resources, at_once=pool.max_workers)
    of_worker = {"CPU": cpus, **({"GPU": pool.gpus} if pool.gpus else {}), **node_group(pool)}
    elastic = pool.min_workers < pool.max_workers
    return ScalingConfig(
        num_workers=(pool.min_workers, pool.max_workers) if elastic else pool.max_workers,
        use_gpu=pool.gpus > 0,
        resources_per_worker=of_worker,
        accelerator_type=pool.accelerator_type,
        elastic_resize_monitor_interval_s=pool.resize_seconds,
    )


def _fit(trainer: TorchTrainer, journal: Any) -> dict[str, Any]:
    """What the first worker found; of a failure the cause, where it is one that syneg explains."""
    try:
        result = trainer.fit()
    except WorkerGroupError as error:
        for failure in error.worker_failures.values():
            cause = getattr(failure, "cause", failure)
            if isinstance(cause, SynegError):
                raise cause from error
        raise StageFailed(f"Training failed: {error}") from error
    except TrainingFailedError as error:
        raise StageFailed(f"Training failed: {error}") from error
    failure: Any = ray.get(journal.failure.remote())
    if failure is not None:
        raise failure
    return dict(result.return_value or {})


@contextmanager
def shown(
    journal: Any, progress: Callable[[str], None], trackers: Mapping[str, Callable[[], Tracker]] | None = None
) -> Iterator[list[str]]:
    """Shows the journal's line every second, and tells the trackers every new row, for as long as the body runs.

    Gives the warnings about trackers that failed, which are complete when the trackers are closed, behind the body.
    """
    ended = threading.Event()
    told = 0

    def tell() -> None:
        nonlocal told
        # For a moment: told a second later. For good: the body finds out, where it needs the journal.
        with suppress(ray.exceptions.RayActorError):
            for row in ray.get(journal.rows_since.remote(told)) if trackers else ():
                telling.log(row)
                told = row["step"] + 1
            progress(ray.get(journal.line.remote()))

    def watch() -> None:
        while not ended.wait(1.0) and ray.is_initialized():  # a stop of the run leaves this thread without Ray
            tell()

    watcher = threading.Thread(target=watch, daemon=True)
    with closing(Telling(trackers or {})) as telling:
        watcher.start()
        try:
            yield telling.warnings
        finally:
            ended.set()
            watcher.join()
            tell()
