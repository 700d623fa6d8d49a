"""How many CPUs workers reserve."""

import pytest
import ray

from syneg.on_ray.placement import asked_cpus, claimed_cpus
from syneg.on_ray.workers import OnRay
from syneg.settings.resources import ResourcesConfig, WorkerResources


@pytest.mark.parametrize(
    ("cpus", "shared_by", "asked", "workers", "claimed"),
    [
        (2, 1, 2, 1, 1),
        (8, 1, 2, 3, 2),
        (8, 1, 4, 3, 2),
        (2, 2, 1, 1, 0),  # two arms of an experiment: their workers may not hold both CPUs
        (8, 2, 4, 1, 3),
    ],
)
def test_a_local_ray_keeps_a_cpu_for_the_tasks_of_every_run(
    monkeypatch: pytest.MonkeyPatch, cpus: int, shared_by: int, asked: int, workers: int, claimed: float
) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": float(cpus)})
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    pool = WorkerResources(cpus=asked, min_workers=workers, max_workers=workers)
    assert claimed_cpus(pool, ResourcesConfig(shared_by=shared_by)) == claimed


@pytest.mark.parametrize("joined_by", ["setting", "environment"])
def test_workers_on_a_cluster_reserve_what_they_ask_for(monkeypatch: pytest.MonkeyPatch, joined_by: str) -> None:
    if joined_by == "environment":  # as in a job that `ray job submit` started
        monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    resources = ResourcesConfig(address="auto" if joined_by == "setting" else None)
    assert claimed_cpus(WorkerResources(cpus=4), resources) == 4


@pytest.mark.parametrize(
    ("cpus", "asked", "at_once", "reserved"), [(2, 4, 1, 2), (2, 1, 2, 1), (2, 1, 3, 0.666), (8, 4, 3, 2), (1, 1, 1, 1)]
)
def test_who_gives_its_cpus_back_asks_for_no_more_than_the_machine_has(
    monkeypatch: pytest.MonkeyPatch, cpus: int, asked: int, at_once: int, reserved: float
) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": float(cpus)})
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    pool = WorkerResources(cpus=asked)
    assert asked_cpus(pool, ResourcesConfig(), at_once) == reserved
    assert asked_cpus(pool, ResourcesConfig(address="auto"), at_once) == asked


def test_a_task_of_more_cpus_than_there_are_runs(ray_session: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    workers = OnRay(WorkerResources(cpus=64), ResourcesConfig())
    handle = workers.start(abs, -7)
    assert ray.wait([handle], timeout=60)[0]
    assert workers.get(handle) == 7
