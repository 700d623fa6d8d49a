"""Functions over many arguments, in this process or by Ray's workers: one code for a laptop's test and for a cluster.

A stage starts functions and hands what they give to other functions without looking at it; only `get` brings a value
into the driver.
"""

from collections.abc import Callable
from typing import Any, Protocol

from syneg.settings.resources import ResourcesConfig, WorkerResources


class Workers(Protocol):
    """Whoever runs functions. Handles among the arguments of `start` arrive as the values that they stand for."""

    count: int  # how many functions run at the same time

    def put(self, value: Any) -> Any:
        """A handle of `value`, which is sent to a worker's machine once, however many functions take it."""
        ...

    def start(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """A handle of what `function` returns."""
        ...

    def scatter(self, function: Callable[..., Any], count: int, *arguments: Any) -> list[Any]:
        """Handles of the `count` values that `function` returns, each for another worker to take."""
        ...

    def get(self, handle: Any) -> Any: ...


class InProcess:
    """At once, one after the other, in this process."""

    count = 1

    def put(self, value: Any) -> Any:
        return value

    def start(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def scatter(self, function: Callable[..., Any], count: int, *arguments: Any) -> list[Any]:
        return list(function(*arguments))

    def get(self, handle: Any) -> Any:
        return handle


class OnRay:
    """Ray tasks with the resources of one worker of `pool` each. A task whose worker dies is run again."""

    def __init__(self, pool: WorkerResources, resources: ResourcesConfig) -> None:
        from syneg.on_ray.placement import asked_cpus, node_group, threads  # imports Ray

        self.count = pool.max_workers
        self._threads = threads(pool)
        self._options: dict[str, Any] = {
            "num_cpus": asked_cpus(pool, resources),
            "num_gpus": pool.gpus or None,
            "accelerator_type": pool.accelerator_type,
            "resources": node_group(pool) or None,
        }

    def put(self, value: Any) -> Any:
        import ray

        return ray.put(value)

    def start(self, function: Callable[..., Any], *arguments: Any) -> Any:
        import ray

        return ray.remote(_limited).options(**self._options).remote(function, self._threads, *arguments)

    def scatter(self, function: Callable[..., Any], count: int, *arguments: Any) -> list[Any]:
        if count == 1:  # Ray would hand over the list itself
            return [self.start(_only, function, *arguments)]
        import ray

        options = self._options | {"num_returns": count}
        handles: Any = ray.remote(_limited).options(**options).remote(function, self._threads, *arguments)
        return handles

    def get(self, handle: Any) -> Any:
        import ray

        return ray.get(handle)


def _limited(function: Callable[..., Any], threads: int, *arguments: Any) -> Any:
    """BLAS and OpenMP would start a thread for every core that the machine has."""
    from threadpoolctl import threadpool_limits  # on the worker: `syneg plan` imports this module

    with threadpool_limits(threads):
        return function(*arguments)


def _only(function: Callable[..., Any], *arguments: Any) -> Any:
    (value,) = function(*arguments)
    return value
