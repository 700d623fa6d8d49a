"""What a worker asks for and Ray cannot give it. Ray itself waits for that without a word."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import ray
from ray.exceptions import RayError

from syneg.settings.resources import WorkerResources

_LOOK_SECONDS = 5.0
Resources = Mapping[str, float]
"""What a node offers, by Ray's names: CPU, GPU, accelerator_type:A100, a node group."""


def nodes() -> list[Resources]:
    """All that are up, with what each offers in all."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def lacking(section: str, worker: WorkerResources, offered: Sequence[Resources]) -> str:
    """Which setting of `section` (resources.mine, say) no node can meet, and what there is; empty if one meets all."""
    wanted: dict[str, tuple[str, float]] = {
        "CPU": (f"{section}.cpus={worker.cpus:g}", worker.cpus),
        "GPU": (f"{section}.gpus={worker.gpus:g}", worker.gpus),
    }
    if worker.accelerator_type:
        name = f"accelerator_type:{worker.accelerator_type}"
        wanted[name] = (f"{section}.accelerator_type={worker.accelerator_type}", 0.001)
    if worker.node_group:
        wanted[worker.node_group] = (f"{section}.node_group={worker.node_group}", 0.001)
    if any(all(node.get(name, 0) >= least for name, (_, least) in wanted.items()) for node in offered):
        return ""
    for name, (setting, least) in wanted.items():
        most = max((node.get(name, 0) for node in offered), default=0)
        if most < least:
            return f"{setting}, but no node has one" if least < 0.01 else f"{setting}; the largest node has {most:g}"
    return f"{' and '.join(setting for setting, least in wanted.values() if least)}; no node has all of it"


@contextmanager
def told(section: str, worker: WorkerResources, progress: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """A stage's `progress` that also says what its workers wait for, until the stage has done something.

    A cluster may grow, or others on it may end: nothing is refused.
    """
    teller = _Teller(section, worker, progress)
    threading.Thread(target=teller.look, name="waiting", daemon=True).start()
    try:
        yield teller.take
    finally:
        teller.ended.set()


class _Teller:
    def __init__(self, section: str, worker: WorkerResources, progress: Callable[[str], None]) -> None:
        self.ended = threading.Event()
        self._section, self._worker, self._progress = section, worker, progress
        self._said = self._why = ""
        self._was_full = True  # at every look so far: what is taken later may be by ourselves
        self._lock = threading.Lock()

    def take(self, message: str) -> None:
        """A line of the stage. One that counts from 0 was said before there were workers."""
        with self._lock:
            self._said = message
            if message and not message.startswith("0/"):
                self._why = ""
                self.ended.set()
            self._show()

    def look(self) -> None:
        while not self.ended.wait(_LOOK_SECONDS):
            with suppress(RayError):  # the stage finds out about a cluster that is gone
                why = self._found()
                with self._lock:
                    if why != self._why and not self.ended.is_set():
                        self._why = why
                        self._show()

    def _found(self) -> str:
        if why := lacking(self._section, self._worker, nodes()):
            return f"waits for {why}"
        free, total = ray.available_resources(), ray.cluster_resources()
        for name, asked in (("CPU", self._worker.cpus), ("GPU", self._worker.gpus)):
            if self._was_full and free.get(name, 0) < asked:
                return f"a worker asks for {asked:g} {name}s, {free.get(name, 0):g} of {total.get(name, 0):g} are free"
        self._was_full = False
        return ""

    def _show(self) -> None:
        self._progress("; ".join(part for part in (self._said, self._why) if part))
