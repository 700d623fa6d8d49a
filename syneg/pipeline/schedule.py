"""The order in which steps run: after those they read, side by side where that is allowed. Knows nothing of stages."""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from queue import SimpleQueue
from types import TracebackType
from typing import TypeVar

Result = TypeVar("Result")


def run(
    names: Sequence[str],
    reads: Mapping[str, Collection[str]],
    width: int,
    begin: Callable[[str], None],
    work: Callable[[str], Result],
    end: Callable[[str, Result], None],
) -> None:
    """Works every step once. `begin` and `end` run in this thread; `work` does too if `width` is 1, else in its own.

    When a step fails no further one begins, those beside it come to their end, and its error is raised: what they make
    is stored, and counts for the next attempt.
    """
    if width == 1:
        for name in names:
            begin(name)
            end(name, work(name))
        return
    waiting, running, failures = list(names), set[str](), list[BaseException]()
    results: SimpleQueue[tuple[str, Result | BaseException]] = SimpleQueue()
    while running or (waiting and not failures):
        open_steps = running.union(waiting)
        for name in [] if failures else [name for name in waiting if open_steps.isdisjoint(reads[name])]:
            if len(running) < width:
                waiting.remove(name)
                running.add(name)
                begin(name)
                # A daemon, so that a signal ends the process without waiting for a step that computes.
                threading.Thread(target=_worked, args=(name, work, results), name=name, daemon=True).start()
        name, result = results.get()
        running.remove(name)
        if isinstance(result, BaseException):
            failures.append(result)
        else:
            end(name, result)
    if failures:
        raise failures[0]


def _worked(
    name: str, work: Callable[[str], Result], results: "SimpleQueue[tuple[str, Result | BaseException]]"
) -> None:
    with _Handed(name, results):
        results.put((name, work(name)))


class _Handed:
    """Hands an error of its body to the thread that waits for the result."""

    def __init__(self, name: str, results: "SimpleQueue[tuple[str, Result | BaseException]]") -> None:
        self._name = name
        self._results = results

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None:
            self._results.put((self._name, error))
        return error is not None
