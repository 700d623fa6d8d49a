"""Where actors and workers are in Ray: how many CPUs a worker computes with, and how many of them it reserves."""

import math
from typing import Any

import ray
from ray.data import ActorPoolStrategy
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from syneg.settings.resources import ResourcesConfig, WorkerResources


def threads(workers: WorkerResources) -> int:
    """What one worker computes with."""
    return max(1, math.floor(workers.cpus))


def node_group(workers: WorkerResources) -> dict[str, float]:
    """The custom resource that keeps a worker on its group. Its nodes offer 1000 each: it binds, it never limits."""
    return {workers.node_group: 0.001} if workers.node_group else {}


def beside_driver() -> dict[str, Any]:
    """Options of an actor that only keeps the books: it stands on the driver's node, whose end is the run's anyway.

    Ray would place it on any node, and a stage that has computed everything would fail by the end of a spot node.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return {"num_cpus": 0, "scheduling_strategy": here}


def claimed_cpus(workers: WorkerResources, resources: ResourcesConfig) -> float:
    """CPUs that one worker reserves, which may be fewer than it has threads.

    On a machine of our own one CPU is left to each run for the tasks that read and write: they could never start
    otherwise, since the workers hold theirs until the end. A cluster that is joined has CPUs elsewhere.
    """
    if resources.cluster:
        return workers.cpus
    share = (ray.cluster_resources().get("CPU", 1.0) / resources.shared_by - 1) / workers.max_workers
    return _countable(min(workers.cpus, share))


def asked_cpus(workers: WorkerResources, resources: ResourcesConfig, at_once: int = 1) -> float:
    """CPUs that each of `at_once` workers reserves for as long as it has work, while nothing else needs one.

    No more than a machine of our own has: Ray would wait for others for ever. A cluster may still grow.
    """
    if resources.cluster:
        return workers.cpus
    return _countable(min(workers.cpus, ray.cluster_resources().get("CPU", 1.0) / at_once))


def actors(workers: WorkerResources, resources: ResourcesConfig) -> dict[str, Any]:
    """What `map_batches` takes to run a class on these workers."""
    return {
        "compute": ActorPoolStrategy(min_size=workers.min_workers, max_size=workers.max_workers),
        "num_cpus": claimed_cpus(workers, resources),
        "num_gpus": workers.gpus or None,
        "accelerator_type": workers.accelerator_type,
        "resources": node_group(workers),
    }


def _countable(cpus: float) -> float:
    """Rounded down to what Ray can reserve: a whole number above 1, thousandths below."""
    return float(math.floor(cpus)) if cpus > 1 else max(0.0, math.floor(cpus * 1000) / 1000)
