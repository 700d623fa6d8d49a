"""Several slices of a search at once: what follows a product takes as long as the product, and one core only."""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_info, threadpool_limits

T = TypeVar("T")


def allowed() -> int:
    """How many threads a product may take here: all cores', or what `threadpool_limits` has left."""
    return max((library["num_threads"] for library in threadpool_info()), default=1)


def in_threads(function: Callable[[T], None], arguments: Sequence[T], threads: int) -> None:
    """`function` of each argument, in threads each of which computes by itself."""
    if threads == 1 or len(arguments) < 2:
        for argument in arguments:
            function(argument)
        return
    with threadpool_limits(1), ThreadPoolExecutor(threads, initializer=_alone) as pool:
        for _ in pool.map(function, arguments):
            pass


def _alone() -> None:
    if torch := sys.modules.get("torch"):
        torch.get_num_threads()  # else torch may set this thread's limit anew, at its first operation
    threadpool_limits(1, user_api="openmp")  # each thread has its own; that of OpenBLAS is one for all
