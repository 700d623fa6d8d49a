"""How many requests to object storage had to be tried again, over all processes of a run.

The driver asks; its workers tell an actor that the driver started. A retry waits anyway, so telling costs nothing.
"""

import sys
from typing import Any

_NAME = "syneg-storage-retries"
_here = 0
_actor: Any = None  # the driver's; workers look it up by its name


class _Tally:
    def __init__(self) -> None:
        self._count = 0

    def add(self) -> None:
        self._count += 1

    def count(self) -> int:
        return self._count


def start() -> None:
    """Called by the driver once Ray is up."""
    global _actor
    import ray

    _actor = ray.remote(_Tally).options(name=_NAME, num_cpus=0, get_if_exists=True).remote()


def stop() -> None:
    """Called by the driver before Ray goes: what the workers told is kept."""
    global _actor, _here
    _here, _actor = retries(), None


def retries() -> int:
    """Since this process started."""
    if _actor is None:
        return _here
    import ray

    told: int = ray.get(_actor.count.remote())  # type: ignore[assignment]
    return _here + told


def add_retry() -> None:
    global _here
    if not _tell_driver():
        _here += 1


def _tell_driver() -> bool:
    ray = sys.modules.get("ray")
    if _actor is not None or ray is None or not ray.is_initialized():
        return False  # the driver itself, or a process without one
    try:
        ray.get_actor(_NAME).add.remote()
    except ValueError:
        return False  # the driver counts nothing
    return True
