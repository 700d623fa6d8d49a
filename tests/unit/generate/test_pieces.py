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

        async def take(ids: str) -> None:
            await room.take(list(ids))
            order.append(f"took {ids}")

        await take("abc")
        await take("ab")  # a task that is run again: they are inside already
        waiting = [asyncio.create_task(take("def")), asyncio.create_task(take("ghijklm"))]
        await asyncio.sleep(0)
        for ids in ("abc", "abc", "def"):
            order.append(f"gave {ids}")
            await room.give(list(ids))
            await asyncio.sleep(0.01)
        await asyncio.gather(*waiting)
        return order

    seen = asyncio.run(passed())
    assert seen == ["took abc", "took ab", "gave abc", "took def", "gave abc", "gave def", "took ghijklm"]


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
