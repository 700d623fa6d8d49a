"""Where stages run and how wide."""

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from pydantic import model_validator as _check

from syneg.settings.section import Section


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


class ResourcesConfig(Section):
    """Where and how wide; never which rows. Used for a local Ray unless the job joins a cluster by its address."""

    address: str | None = None  # of a running cluster ("auto"); None starts Ray on this machine
    cpus: PositiveInt | None = None  # of a local Ray; None: all of this machine's
    object_store_gib: PositiveFloat = 2.0
    generate: WorkerResources = WorkerResources()
    vllm_kv_cache_gib: PositiveInt = 2  # on a CPU
    encode: WorkerResources = WorkerResources(batch_rows=256)
    train: WorkerResources = WorkerResources()
