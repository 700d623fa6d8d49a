"""What is said of workers that Ray cannot place."""

import time

import pytest
import ray

from syneg.on_ray import waiting
from syneg.settings.resources import WorkerResources

SMALL = {"CPU": 2.0, "GPU": 1.0, "accelerator_type:A100": 1.0}
LARGE = {"CPU": 8.0, "train": 1000.0}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"cpus": 8}, ""),
        ({"cpus": 2, "gpus": 1, "accelerator_type": "A100"}, ""),
        ({"cpus": 9}, "resources.mine.cpus=9; the largest node has 8"),
        ({"gpus": 2}, "resources.mine.gpus=2; the largest node has 1"),
        ({"accelerator_type": "H100"}, "resources.mine.accelerator_type=H100, but no node has one"),
        ({"node_group": "trian"}, "resources.mine.node_group=trian, but no node has one"),
        ({"cpus": 4, "gpus": 1}, "resources.mine.cpus=4 and resources.mine.gpus=1; no node has all of it"),
    ],
)
def test_the_setting_that_no_node_meets_is_named(asked: dict, said: str) -> None:
    assert waiting.lacking("resources.mine", WorkerResources(**asked), [SMALL, LARGE]) == said


def test_no_node_yet() -> None:
    assert waiting.lacking("resources.mine", WorkerResources(), []) == "resources.mine.cpus=1; the largest node has 0"


def _until(said: list[str], wanted: str) -> None:
    end = time.monotonic() + 20
    while wanted not in said and time.monotonic() < end:
        time.sleep(0.02)
    assert wanted in said


def test_a_stage_says_what_it_waits_for_until_it_has_done_something(monkeypatch: pytest.MonkeyPatch) -> None:
    offered, free, said = [{"CPU": 1.0}], {"CPU": 1.0}, list[str]()
    monkeypatch.setattr(waiting, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(waiting, "nodes", lambda: list(offered))
    monkeypatch.setattr(ray, "available_resources", lambda: free)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 3.0})
    with waiting.told("resources.encode", WorkerResources(cpus=2), said.append) as progress:
        _until(said, "waits for resources.encode.cpus=2; the largest node has 1")
        progress("0/8 rows")
        assert said[-1] == "0/8 rows; waits for resources.encode.cpus=2; the largest node has 1"
        offered.append({"CPU": 2.0})  # it came, and somebody else is at work there
        _until(said, "0/8 rows; a worker asks for 2 CPUs, 1 of 3 are free")
        progress("1/8 rows")
        assert said[-1] == "1/8 rows"
        time.sleep(0.1)
        assert said[-1] == "1/8 rows"


def test_what_was_free_once_is_held_by_the_stage_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    free, said = {"CPU": 2.0}, list[str]()
    monkeypatch.setattr(waiting, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(waiting, "nodes", lambda: [{"CPU": 2.0}])
    monkeypatch.setattr(ray, "available_resources", lambda: free)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    with waiting.told("resources.encode", WorkerResources(cpus=2), said.append):
        time.sleep(0.1)
        free.clear()
        time.sleep(0.1)
    assert said == []
