"""How many requests to object storage had to be tried again, over all processes of a run.

The driver asks; its workers tell an actor that the driver started. A retry waits anyway, so telling costs nothing.
"""

import sys
from contextlib import suppress
from typing import Any

_NAME = "syneg-storage-retries"
_here = 0
_told: int = 0  # by the workers, when they were asked last
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

    from syneg.on_ray.placement import beside_driver

    _actor = ray.remote(_Tally).options(name=_NAME, get_if_exists=True, **beside_driver()).remote()


def stop() -> None:
    """Called by the driver before Ray goes: what the workers told is kept."""
    global _actor, _here, _told
    _here, _told, _actor = retries(), 0, None


def retries() -> int:
    """Since this process started. Where the actor died, what it counted since it was asked last is not in here."""
    global _told
    if _actor is None:
        return _here
    import ray
    from ray.exceptions import RayActorError

    with suppress(RayActorError):  # a count is not worth a stage that has computed everything
        _told = ray.get(_actor.count.remote())  # type: ignore[assignment]
    return _here + _told


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
