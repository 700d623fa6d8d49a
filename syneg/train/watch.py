"""When to save a checkpoint: after a number of steps or seconds, and when a node is about to be taken away."""

import time
from collections.abc import Sequence

import ray.train

from syneg.settings.resources import TrainResources

WISHES = ("save", "ask")  # what the first worker wants all to do after a step
_ASK_SECONDS = 5.0  # between two questions whether a node is to be taken away, which every worker must ask together


class CheckpointClock:
    """The first worker looks at the clock; the others hear of it by the sums that all workers exchange."""

    def __init__(self, pool: TrainResources) -> None:
        self._pool = pool
        self._saved_at = self._asked_at = time.monotonic()
        self._saved_step: int | None = None
        self._warned = False

    def wishes(self, step: int, rank: int) -> list[bool]:
        """What this worker wants done after `step`, in the order of `WISHES`."""
        if rank != 0:
            return [False for _ in WISHES]
        now, every = time.monotonic(), self._pool.checkpoint_steps
        save = now - self._saved_at >= self._pool.checkpoint_seconds or bool(every and (step + 1) % every == 0)
        ask = now - self._asked_at >= _ASK_SECONDS
        if ask:
            self._asked_at = now
        return [save, ask]

    def agreed_to_save(self, wishes: Sequence[bool]) -> bool:
        """Whether a checkpoint is due. Every worker calls this with the same wishes."""
        save, ask = wishes
        if ask and not self._warned and ray.train.get_preemption_info() is not None:
            self._warned = True
            return True
        return save

    def saved_until(self, first: int) -> int:
        """The step up to which what was recorded is in the store; `first` is where this attempt began."""
        return first if self._saved_step is None else self._saved_step

    def saved(self, step: int) -> None:
        self._saved_at, self._saved_step = time.monotonic(), step
