"""A driver that dies at a named point of a stage, or kills a process of its job there: `python -m tests.faults.driver
CONFIG STAGE POINT VICTIM`. What the product does is patched here, so that nothing of this stands in the product.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, ClassVar

import ray

from syneg import runs
from syneg.config import overrides
from syneg.encoder import stage as stage_of_encoder
from syneg.pipeline import execution, pipeline
from syneg.stage import Stage
from syneg.store import disk, folders, manifest, parts
from syneg.store.manifest import Manifest
from tests.faults.counting import CountingEncodeBatch

POINTS = ("before data", "during data", "before manifest", "during manifest", "after manifest")
PROCESSES = {
    "engine": r"ray::.*Endpoint",
    "encoder": r"ray::.*EncodeBatch",
    "trainer": r"ray::RayTrainWorker",
}


def main() -> None:
    path, stage, point, victim = sys.argv[1:]
    config = overrides.load(path)
    if victim == "raylet":
        second = two_nodes()
        _strike_at(stage, point, lambda: os.kill(second, signal.SIGKILL))
    elif victim == "driver":
        _strike_at(stage, point, lambda: os.kill(os.getpid(), signal.SIGKILL))
    elif victim != "nobody":
        _strike_at(stage, point, lambda: _kill_one(PROCESSES[victim]))
    stage_of_encoder.EncodeBatch = CountingEncodeBatch
    finished = pipeline.run(config, _Listener())
    runs.publish_run(finished)


class _Listener:
    """Strikes, if told to, at the first line that says that rows have come."""

    current: ClassVar[str] = ""
    on_rows: ClassVar[list[Callable[[], None]]] = []

    def started(self, stage: Stage) -> None:
        _Listener.current = stage.name
        print(f"{stage.name} started", flush=True)

    def progressed(self, stage: Stage, message: str) -> None:
        if re.match(r"[1-9][\d,]* rows", message):
            for strike in _Listener.on_rows:
                strike()

    def finished(self, stage: Stage, result: Manifest, reused: bool) -> None:
        print(f"{stage.name} {'reused' if reused else 'made'}", flush=True)


def _strike_at(stage: str, point: str, kill: Callable[[], None]) -> None:
    struck = threading.Event()

    def strike() -> None:
        if _Listener.current == stage and not struck.is_set():
            struck.set()
            print(f"STRUCK {stage}: {point}", flush=True)
            kill()

    if point == "before data":
        _before(execution, "_function", strike)
    elif point == "during data":
        # Rows of Ray's tasks are put elsewhere and heard of; all others are put by the driver.
        _Listener.on_rows.append(strike)
        _after(parts, "put", strike)
        _after(folders, "put", strike)
    elif point == "before manifest":
        _before(manifest, "publish", strike)
    elif point == "during manifest":
        _before(disk.os, "link", strike)
    elif point == "after manifest":
        _after(manifest, "publish", strike)
    else:
        raise ValueError(f"no point {point!r}; expected one of {POINTS}")


def _before(module: Any, name: str, strike: Callable[[], None]) -> None:
    original = getattr(module, name)

    def patched(*arguments: Any, **named: Any) -> Any:
        strike()
        return original(*arguments, **named)

    setattr(module, name, patched)


def _after(module: Any, name: str, strike: Callable[[], None]) -> None:
    original = getattr(module, name)

    def patched(*arguments: Any, **named: Any) -> Any:
        made = original(*arguments, **named)
        strike()
        return made

    setattr(module, name, patched)


def _kill_one(pattern: str) -> None:
    """A descendant of this driver whose title matches. It may take a moment to be there."""
    for _ in range(100):
        listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
        parents = {int(pid): int(parent) for pid, parent, _ in rows}
        for pid, _, title in rows:
            if re.match(pattern, title) and _descends(int(pid), parents):
                os.kill(int(pid), signal.SIGKILL)
                print(f"KILLED {title}", flush=True)
                return
        time.sleep(0.1)
    raise RuntimeError(f"no process {pattern}")


def _descends(pid: int, parents: dict[int, int]) -> bool:
    while pid > 1 and pid != os.getpid():
        pid = parents.get(pid, 0)
    return pid == os.getpid()


def two_nodes() -> int:
    """Joins a cluster of two nodes on this machine; returns the second one's raylet, which holds a CPU more."""
    from ray._private import ray_constants
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 200 * 2**20})
    node = cluster.add_node(num_cpus=2, object_store_memory=200 * 2**20)
    ray.init(address=cluster.address, log_to_driver=False)
    return node.all_processes[ray_constants.PROCESS_TYPE_RAYLET][0].process.pid


if __name__ == "__main__":
    main()
