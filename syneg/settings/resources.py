"""Where stages run and how wide."""

import os
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from pydantic import model_validator as _check

from syneg.settings.section import Address, Section


class WorkerResources(Section):
    """What one worker of a stage asks for, and how many there may be."""

    min_workers: PositiveInt = 1
    max_workers: PositiveInt = 1
    cpus: PositiveFloat = 1.0
    gpus: NonNegativeFloat = 0.0
    accelerator_type: str | None = None
    node_group: str | None = None  # nodes that offer a Ray resource of this name; None: any node with enough free
    batch_rows: PositiveInt = 64

    @_check(mode="after")
    def _is_a_range(self) -> "WorkerResources":
        if self.max_workers < self.min_workers:
            raise ValueError(f"max_workers {self.max_workers} is below min_workers {self.min_workers}")
        return self


class EstimateConfig(Section):
    """What `syneg plan` and `syneg status` reckon with. Every figure is an assumption for you to replace by your own
    measurement or contract; docs/scale.md says where the main ones come from. None enters a fingerprint.
    `output_tokens_per_second` and `output_tokens` also limit what a generating worker may be at (`store.part_seconds`).
    """

    usd_per_gpu_hour: NonNegativeFloat | None = None  # None: no price is shown
    usd_per_cpu_hour: NonNegativeFloat = 0.05
    passages: PositiveInt | None = None  # of a collection that is not read yet; a finished corpus stage knows better
    training_pairs: PositiveInt | None = None
    queries: PositiveInt | None = None  # of all splits
    test_queries: PositiveInt | None = None
    dimensions: PositiveInt = 384
    prompt_tokens: PositiveInt = 700  # mean of a request
    output_tokens: PositiveInt = 300
    prompt_tokens_per_second: PositiveFloat = 20_000.0  # of one worker that writes, a share of its time each
    output_tokens_per_second: PositiveFloat = 2_500.0
    texts_encoded_per_second: PositiveFloat = 1_500.0  # of one worker
    texts_trained_per_second: PositiveFloat = 400.0  # of one worker: forward and backward, gradient caching included
    scores_per_second: PositiveFloat = 5e8  # query-passage scores of the dense search, over all that mine
    bm25_scores_per_second: PositiveFloat = 1e8  # of one worker
    passages_indexed_per_second: PositiveFloat = 5_000.0  # hashed and their words counted for mining, by one worker
    pairs_scored_per_second: PositiveFloat = 500.0  # by mine.cross_encoder
    # Of the corpus, read and checked, by the driver; of candidates, filtered, by one worker.
    rows_per_second: PositiveFloat = 20_000.0
    negatives_gated_per_second: PositiveFloat = 500.0
    instances_mixed_per_second: PositiveFloat = 1_000.0  # of one worker
    start_seconds: NonNegativeFloat = 15.0  # until the workers of a stage have loaded their model

    @property
    def has_default_rates(self) -> bool:
        """Whether nobody has replaced a rate by a measurement."""
        rates = (name for name in type(self).model_fields if name.endswith("_per_second"))
        return all(getattr(self, rate) == type(self).model_fields[rate].default for rate in rates)


class TrainResources(WorkerResources):
    """Workers between `min_workers` and `max_workers`, as many as there is room for; all of them where the two agree.

    A crash costs the steps since the last checkpoint, whatever dies.
    """

    checkpoint_seconds: PositiveFloat = 300.0
    checkpoint_steps: PositiveInt | None = None  # beside the seconds
    # Between looks at whether there is room for more workers, where there may be; then all go on from the newest
    # checkpoint.
    resize_seconds: PositiveFloat = 60.0
    max_failures: NonNegativeInt = 3  # of workers, before the job fails; nodes that are taken away do not count
    trackers: Annotated[tuple[Literal["tensorboard", "mlflow", "wandb"], ...], Field(strict=False)] = ()
    tensorboard_folder: Address = "tensorboard"  # each training has its own below it: RUN/STAGE-FINGERPRINT


class ResourcesConfig(Section):
    """Where and how wide; never which rows. Used for a local Ray unless the job joins a cluster by its address."""

    address: str | None = None  # of a running cluster ("auto"); None: RAY_ADDRESS, or else a Ray on this machine
    cpus: PositiveInt | None = None  # of a local Ray; None: all of this machine's
    shared_by: PositiveInt = 1  # runs that share a local Ray; an experiment sets it to its `parallel`
    object_store_gib: PositiveFloat = 2.0
    side_by_side: bool | None = None  # stages that do not depend on each other; None: on a cluster that is joined
    generate: WorkerResources = WorkerResources(batch_rows=32)
    vllm_kv_cache_gib: PositiveInt = 2  # on a CPU
    encode: WorkerResources = WorkerResources(batch_rows=256)
    mine: WorkerResources = WorkerResources()
    train: TrainResources = TrainResources()
    mix: WorkerResources = WorkerResources()
    estimate: EstimateConfig = EstimateConfig()

    @property
    def cluster(self) -> str | None:
        """The address of the cluster that a run joins; None where it starts a Ray of its own."""
        return self.address or os.environ.get("RAY_ADDRESS")
