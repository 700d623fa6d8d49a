"""How much a worker of an engine may be at before it is stored."""

import asyncio

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syneg.generate.admission import Room
from syneg.generate.engines.asked import Pieces
from syneg.generate.writing import Spent
from syneg.settings.resources import WorkerResources
from syneg.stage import Stake


@given(batch_rows=st.integers(1, 5000), at_stake=st.integers(2, 5000))
def test_what_a_worker_is_asked_stays_within_the_stake(batch_rows: int, at_stake: int) -> None:
    pieces = Pieces.of(WorkerResources(batch_rows=batch_rows), at_stake)
    growing = Pieces.of(WorkerResources(batch_rows=batch_rows, max_workers=2), at_stake)
    assert pieces.rows == growing.rows <= batch_rows
    assert pieces.at_once >= 2
    assert pieces.at_once * pieces.rows <= at_stake
    assert growing.at_once == pieces.at_once // 2


def test_a_piece_waits_until_there_is_room_for_it() -> None:
    async def passed() -> list[str]:
        room, order = Room(4), list[str]()

        async def take(rows: int) -> None:
            await room.take(rows)
            order.append(f"took {rows}")

        await take(3)
        waiting = [asyncio.create_task(take(3)), asyncio.create_task(take(9))]
        await asyncio.sleep(0)
        for rows in (3, 3):
            order.append(f"gave {rows}")
            await room.give(rows)
            await asyncio.sleep(0.01)
        await asyncio.gather(*waiting)
        return order

    assert asyncio.run(passed()) == ["took 3", "gave 3", "took 3", "gave 3", "took 9"]


@pytest.mark.parametrize(
    ("rows_per_second", "rows"),
    [(1000.0, 256), (1.0, 60), (0.5, 30), (0.001, 1)],
    ids=["fast", "slow", "slower", "one"],
)
def test_a_worker_is_at_so_many_rows_or_at_so_many_seconds_of_its_work(rows_per_second: float, rows: int) -> None:
    assert Stake(rows=256, seconds=60).at(rows_per_second) == rows


def test_a_piece_that_took_too_long_is_told() -> None:
    spent = Spent()
    spent.time(pa.table({"asked_at": [100.0, 110.0, None], "seconds": [5.0, 30.0, None]}))
    spent.time(pa.table({"asked_at": [200.0], "seconds": [10.0]}))
    assert spent.pieces(Stake(seconds=60)) == {"piece_seconds": 40.0, "warnings": []}
    (warning,) = spent.pieces(Stake(seconds=30))["warnings"]
    assert "for 40 s" in warning
    assert "store.part_seconds=30" in warning
