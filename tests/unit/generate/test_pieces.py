"""How much a worker of an engine may be at before it is stored."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syneg.generate.engines.asked import Pieces
from syneg.generate.writing import Spent
from syneg.stage import Stake


@given(batch_rows=st.integers(1, 5000), at_stake=st.integers(2, 5000))
def test_what_is_asked_and_one_piece_on_its_way_stay_within_the_stake(batch_rows: int, at_stake: int) -> None:
    pieces = Pieces.of(batch_rows, at_stake)
    assert pieces.rows <= batch_rows
    assert pieces.at_once >= 1
    assert (pieces.at_once + 1) * pieces.rows <= at_stake


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
