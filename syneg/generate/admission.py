"""Limits requests that are in flight or not yet stored to what a crash may cost.

Between an engine and the store an answer waits for a process of Ray's to start, for the driver, for the disk; meanwhile
the engine would go on. So requests pass one worker that lets a piece through only when there is room, and the driver
makes room when a piece is stored.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, Dataset

from syneg.generate.engines.asked import LIGHTLY
from syneg.on_ray.placement import beside_driver


class Room:
    """An actor that knows which requests were let through and are not stored, at most `rows` of them. At 0 it
    admits nothing new.

    By their ids, since Ray runs a task again whose result went away with a node: what is in here is not counted twice.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._inside = set[str]()
        self._changed = asyncio.Condition()

    async def take(self, ids: Sequence[str]) -> bool:
        """Waits until there is room for those that are not inside; False: there will be none. A piece larger than the
        room passes alone."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._rows or not self._inside or self._fits(ids))
            let = self._rows > 0 or self._inside.issuperset(ids)
            self._inside.update(ids if let else ())
            return let

    def _fits(self, ids: Sequence[str]) -> bool:
        return len(self._inside.union(ids)) <= self._rows

    async def give(self, ids: Sequence[str], rows: int) -> int:
        """These are stored, and from now on there is room for `rows`. Returns how many are inside."""
        async with self._changed:
            self._inside.difference_update(ids)
            self._rows = rows
            self._changed.notify_all()
            return len(self._inside)


def room(rows: int) -> Any:
    """A handle to a `Room` beside the driver, whose end is the job's anyway. It ends with its last handle."""
    return ray.remote(Room).options(max_concurrency=1_000, **beside_driver()).remote(rows)


def admitted(requests: Dataset, room: Any) -> Dataset:
    """`requests`, piece by piece as there is room for them; without those that come when there is none any more."""
    return requests.map_batches(
        Admit,
        fn_constructor_args=(room,),
        compute=ActorPoolStrategy(size=1),
        zero_copy_batch=True,
        **LIGHTLY,
    )


class Admit:
    """The worker that all pieces, rows of `REQUEST`, pass one after the other."""

    def __init__(self, room: Any) -> None:
        self._room = room

    def __call__(self, piece: pa.Table) -> pa.Table:
        let = ray.get(self._room.take.remote(piece["negative_id"].to_pylist()))
        return piece if let else piece.slice(0, 0)
