"""What a worker computes with, and what it reserves in Ray."""

import math
from typing import Any

import ray
from ray.data import ActorPoolStrategy

from syneg.settings.resources import ResourcesConfig, WorkerResources


def threads(workers: WorkerResources) -> int:
    """What one worker computes with."""
    return max(1, math.floor(workers.cpus))


def node_group(workers: WorkerResources) -> dict[str, float]:
    """The custom resource that keeps a worker on its group. Its nodes offer 1000 each: it binds, it never limits."""
    return {workers.node_group: 0.001} if workers.node_group else {}


def claimed_cpus(workers: WorkerResources, resources: ResourcesConfig) -> float:
    """CPUs that one worker reserves, which may be fewer than it has threads.

    On a machine of our own one CPU is left to each run for the tasks that read and write: they could never start
    otherwise, since the workers hold theirs until the end. A cluster that is joined has CPUs elsewhere.
    """
    if resources.cluster:
        return workers.cpus
    share = (ray.cluster_resources().get("CPU", 1.0) / resources.shared_by - 1) / workers.max_workers
    claimed = min(workers.cpus, share)
    return float(math.floor(claimed)) if claimed > 1 else max(0.0, claimed)


def actors(workers: WorkerResources, resources: ResourcesConfig) -> dict[str, Any]:
    """What `map_batches` takes to run a class on these workers."""
    return {
        "compute": ActorPoolStrategy(min_size=workers.min_workers, max_size=workers.max_workers),
        "num_cpus": claimed_cpus(workers, resources),
        "num_gpus": workers.gpus or None,
        "accelerator_type": workers.accelerator_type,
        "resources": node_group(workers),
    }
