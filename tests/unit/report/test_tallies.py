"""Counting block by block gives what counting at once gives."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from syneg.report import tallies
from tests.memory import MemoryTable
from tests.unit.report import sample


def test_candidates_by_sampler_and_reason() -> None:
    blocks = sample.inputs().tables["candidates"].blocks(["sampler", "reject_reason"])
    of_each = {"kept": 6 * sample.PAIRS, "above_margin": sample.PAIRS, "positive": sample.PAIRS}
    found = tallies.candidate_outcomes(blocks)
    assert found == {"bm25": of_each, "dense": of_each}
    assert [next(iter(outcomes)) for outcomes in found.values()] == ["kept", "kept"]
    assert tallies.candidate_outcomes(iter([])) == {}


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        ([0.5, 1.0], {"epoch 1": range(1, 3)}),
        ([0.5, 1.0, 1.5, 2.0, 2.5, 3.0], {"epoch 1": range(1, 3), "epoch 3": range(5, 7)}),
        ([0.0, 0.5], {"epoch 1": range(1, 3)}),
        ([1 / 3, 2 / 3, 1.0000001, 4 / 3, 5 / 3, 2.0000002], {"epoch 1": range(1, 4), "epoch 2": range(4, 7)}),
        ([], {}),
    ],
)
def test_steps_of_the_first_and_the_last_epoch(epochs: list[float], expected: dict[str, range]) -> None:
    steps = {"step": pa.array(range(1, len(epochs) + 1), pa.int32()), "epoch": pa.array(epochs, pa.float32())}
    assert tallies.epoch_steps(pa.table(steps)) == expected


def test_histograms_count_every_score_of_their_epoch_once() -> None:
    given = sample.inputs()
    epochs = tallies.epoch_steps(given.tables["metrics"].table())
    found = tallies.similarity_histograms(given.tables["similarities"].blocks(["step", "source", "score"]), epochs)
    rows = given.tables["similarities"].table().to_pylist()
    assert list(found) == ["epoch 1", "epoch 2"]
    for epoch, histograms in found.items():
        assert list(histograms) == ["positive", "synthetic", "bm25", "dense"]
        for source, counts in histograms.items():
            scores = [row["score"] for row in rows if row["source"] == source and row["step"] in epochs[epoch]]
            assert counts.tolist() == np.histogram(scores, tallies.EDGES)[0].tolist()
            assert counts.sum() == 8 * sample.STEPS / 2


def test_a_cosine_just_above_one_is_counted() -> None:
    block = pa.table(
        {"step": pa.array([1], pa.int32()), "source": ["positive"], "score": pa.array([1.0000001], pa.float32())}
    )
    found = tallies.similarity_histograms([block], {"epoch 1": range(1, 2)})
    assert found["epoch 1"]["positive"][-1] == 1


def tally(rows: pa.Table, to_read: int = 20) -> tallies.InstanceTally:
    asked = frozenset((f"train{number}", f"p{number}") for number in range(0, sample.PAIRS, 3))
    return tallies.instance_tally(MemoryTable(rows).blocks(), asked, to_read)


def test_instances_are_counted_by_what_they_hold() -> None:
    rows = sample.inputs().tables["instances"].table()
    found = tally(rows)
    assert found.usable == sample.PAIRS - 1
    assert found.with_synthetic == 10
    assert found.in_place_of_rejected == 10  # asked for: 20 of 60; accepted: 10
    assert found.rejected == Counter({"too_few_retrieved": 1})
    assert found.negatives == Counter({"dense": 59, "bm25": 49, "synthetic": 10})


def test_half_of_those_to_read_have_a_synthetic_negative_and_the_order_of_rows_does_not_matter() -> None:
    rows = sample.inputs().tables["instances"].table()
    drawn = tally(rows, to_read=8).drawn
    assert len(drawn) == len(set(drawn)) == 8
    assert sum(int(query.removeprefix("train")) % 6 == 0 for query, _ in drawn) == 4
    shuffled = rows.take(np.random.default_rng(0).permutation(rows.num_rows))
    assert tally(shuffled, to_read=8).drawn == drawn
    assert (f"train{sample.PAIRS - 1}", f"p{sample.PAIRS - 1}") not in tally(rows, to_read=100).drawn
    assert len(tally(rows, to_read=100).drawn) == sample.PAIRS - 1


def test_where_one_kind_is_short_the_other_fills_up() -> None:
    rows = sample.inputs().tables["instances"].table()
    drawn = tally(rows, to_read=30).drawn
    assert len(drawn) == 30
    assert sum(int(query.removeprefix("train")) % 6 == 0 for query, _ in drawn) == 10
