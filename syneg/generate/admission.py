"""Keeps what an engine was asked, and what is not stored yet, within what a death may cost.

Between an engine and the store an answer waits for a process of Ray's to start, for the driver, for the disk; meanwhile
the engine would go on. So requests pass one worker that lets a piece through only when there is room, and the driver
makes room when a piece is stored.
"""

import asyncio
from typing import Any

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, Dataset

from syneg.generate.engines.asked import LIGHT


class Room:
    """An actor that counts the requests which may still be let through."""

    def __init__(self, rows: int) -> None:
        self._rows = self._free = rows
        self._changed = asyncio.Condition()

    async def take(self, rows: int) -> None:
        """Waits until there is room. A piece larger than the whole room passes alone."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._free >= min(rows, self._rows))
            self._free -= rows

    async def give(self, rows: int) -> None:
        async with self._changed:
            self._free += rows
            self._changed.notify_all()


def room(rows: int) -> Any:
    """A handle to a `Room`, which ends with the last one."""
    return ray.remote(Room).options(num_cpus=0, max_concurrency=1_000).remote(rows)


def admitted(requests: Dataset, room: Any) -> Dataset:
    """`requests`, piece by piece as there is room for them."""
    return requests.map_batches(
        Admit,
        fn_constructor_args=(room,),
        compute=ActorPoolStrategy(size=1),
        num_cpus=LIGHT,
        batch_size=None,
        batch_format="pyarrow",
        zero_copy_batch=True,
    )


class Admit:
    """The worker that all pieces pass, one after the other."""

    def __init__(self, room: Any) -> None:
        self._room = room

    def __call__(self, piece: pa.Table) -> pa.Table:
        ray.get(self._room.take.remote(piece.num_rows))
        return piece
