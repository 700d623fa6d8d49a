"""How much a worker of an engine may be at before it is stored."""

import asyncio

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syneg.generate.admission import Room
from syneg.generate.engines.asked import Pieces
from syneg.generate.spending import Spent
from syneg.settings.generate import Budget
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
            await room.give(list(ids), 4)
            await asyncio.sleep(0.01)
        await asyncio.gather(*waiting)
        return order

    seen = asyncio.run(passed())
    assert seen == ["took abc", "took ab", "gave abc", "took def", "gave abc", "gave def", "took ghijklm"]


def test_a_room_that_closes_lets_nobody_in_but_who_is_inside() -> None:
    async def passed() -> list[object]:
        room = Room(4)
        seen: list[object] = [await room.take(list("abc"))]
        waiting = asyncio.create_task(room.take(list("def")))
        await asyncio.sleep(0)
        seen += [await room.give(list("a"), 0), await waiting, await room.take(list("bc"))]
        return [*seen, await room.give(list("bc"), 0), await room.take(list("g"))]

    assert asyncio.run(passed()) == [True, 2, False, True, 0, False]


def rows(*told: tuple[str, int, int]) -> pa.Table:
    """What is counted of answers: finish_reason and tokens."""
    return pa.table(dict(zip(("finish_reason", "input_tokens", "output_tokens"), zip(*told, strict=True), strict=True)))


def test_no_more_is_under_way_than_the_budget_pays_for() -> None:
    budget, spent = Budget(tokens=1000), Spent()
    assert spent.room(Budget(), 8, 256) == 256
    assert spent.room(budget, 8, 256) == 8  # nothing is known of what an answer costs
    spent.add(rows(("stop", 8, 2), ("length", 7, 3), ("error", 0, 0), ("refusal", 0, 0)))
    assert spent.room(budget, 8, 256) == 98
    assert spent.room(budget, 8, 64) == 64
    spent.add(rows(("stop", 0, 0), ("stop", 0, 0)))  # as dear as the others, 10 tokens each
    assert spent.room(budget, 8, 256) == 96
    spent.add(rows(("stop", 270, 240)))
    assert spent.room(budget, 8, 256) == 8
    spent.add(rows(("stop", 60, 90)))
    assert (spent.room(budget, 8, 256), spent.ended(budget), spent.ended(Budget())) == (0, True, False)
    assert spent.ended(Budget(money=1.0, input_price_per_million=1_900)) is False
    assert spent.ended(Budget(money=1.0, input_price_per_million=1_940, tokens=10**9)) is True


def test_tokens_are_counted_where_nothing_was_asked_before() -> None:
    """vLLM's batches pass through Python, and a column of None alone comes back without a type."""
    spent = Spent()
    block = rows(("stop", 40, 7), ("stop", 60, 3))
    spent.add(block.append_column("before", pa.nulls(block.num_rows)))
    assert (spent.input_tokens, spent.output_tokens) == (100, 10)


def test_a_budget_ends_where_nobody_tells_what_is_spent() -> None:
    spent, recorded = Spent(), Spent(tells=False)
    for each in (spent, recorded):
        each.add(rows(("stop", 0, 0)))
    assert [each.ended(Budget(tokens=9)) for each in (spent, recorded)] == [True, False]
    assert not spent.ended(Budget())
    assert "1 answers came without" in spent.facts(Stake())["warnings"][0]
    assert recorded.facts(Stake())["warnings"] == []


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
    assert spent.facts(Stake(seconds=60)) == {"errors": 0, "piece_seconds": 40.0, "warnings": []}
    (warning,) = spent.facts(Stake(seconds=30))["warnings"]
    assert "for 40 s" in warning
    assert "store.part_seconds=30" in warning
