"""Actors that only keep the books: where they stand, and that the death of one ends no stage."""

import re
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from syneg.on_ray.placement import beside_driver
from syneg.store import retry_count

PACKAGE = Path(__file__).parents[3] / "syneg"


class Where:
    def node(self) -> str:
        return ray.get_runtime_context().get_node_id()


def test_a_bookkeeper_stands_on_the_drivers_node_and_nowhere_else(ray_session: None) -> None:
    options = beside_driver()
    here = options["scheduling_strategy"]
    assert isinstance(here, NodeAffinitySchedulingStrategy)
    assert (here.node_id, here.soft) == (ray.get_runtime_context().get_node_id(), False)
    actor: Any = ray.remote(Where).options(**options).remote()
    assert ray.get(actor.node.remote()) == here.node_id


def test_every_actor_without_a_cpu_is_placed_there() -> None:
    """`num_cpus=0` written out is an actor that Ray places on any node."""
    written_out = [path for path in PACKAGE.rglob("*.py") if re.search(r"num_cpus=0[,)]", path.read_text())]
    assert written_out == []


def test_retries_that_were_counted_outlive_the_actor(ray_session: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_count, "_here", 3)
    retry_count.start()
    for _ in range(2):
        ray.get(retry_count._actor.add.remote())
    assert retry_count.retries() == 5
    ray.kill(retry_count._actor)
    assert retry_count.retries() == 5
    retry_count.stop()
    assert retry_count.retries() == 5
