import numpy as np
import pyarrow as pa
import pytest
import torch

from syneg.train.batches import Instances, Order, allowed_in_batch, collate, known_positives, shares
from tests.unit.train.instances import instance_table


@pytest.mark.parametrize(("instances", "batch_size"), [(64, 8), (65, 8), (7, 8), (100, 33)])
def test_an_epoch_holds_every_instance_once_in_batches_of_nearly_one_size(instances: int, batch_size: int) -> None:
    order = Order(instances, batch_size, seed=3)
    epoch = [order.rows(step) for step in range(order.steps_per_epoch)]
    sizes = [len(rows) for rows in epoch]

    assert sorted(np.concatenate(epoch).tolist()) == list(range(instances))
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    order = Order(50, 8, seed=3)
    np.testing.assert_array_equal(order.rows(9), Order(50, 8, seed=3).rows(9))  # asked for out of turn
    assert order.epoch_of(order.steps_per_epoch) == 1
    first, second = order.rows(0), order.rows(order.steps_per_epoch)
    assert first.tolist() != second.tolist()
    assert first.tolist() != Order(50, 8, seed=4).rows(0).tolist()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_share_a_step_in_its_order(workers: int) -> None:
    rows = Order(50, 8, seed=3).rows(2)
    parts = shares(rows, workers)
    np.testing.assert_array_equal(np.concatenate(parts), rows)
    assert len(parts[0]) - len(parts[-1]) <= 1


def test_rows_come_from_every_block() -> None:
    table = instance_table(20)
    blocks = pa.concat_tables([table.slice(0, 3), table.slice(3, 0), table.slice(3, 10), table.slice(13)])
    instances = Instances(blocks)

    assert len(instances) == 20
    assert instances.widest == 4
    wanted = np.array([19, 0, 2, 3, 12, 13])
    assert [row["query_id"] for row in instances.rows(wanted)] == [f"q{number}" for number in wanted]
    assert len(Instances(table.slice(0, 0))) == 0


def test_candidates_point_to_the_texts_of_their_instance() -> None:
    batch = collate(Instances(instance_table(5)).rows(np.array([4, 1, 2])))

    assert batch.candidates_QK.tolist() == [[0, 3, 4, 5], [1, -1, -1, -1], [2, 6, 7, -1]]
    assert batch.passage_ids == ["p4", "p1", "p2", "n4.0", "n4.1", "n4.2", "n2.0", "n2.1"]
    assert batch.sources == ["positive"] * 3 + ["synthetic", "bm25", "bm25", "synthetic", "bm25"]
    assert batch.passages[3] == batch.instances[0]["negatives"][0]["text"]


def test_no_negatives_at_all_is_a_batch_too() -> None:
    assert collate(Instances(instance_table(2, negatives=(0,))).rows(np.array([0, 1]))).candidates_QK.tolist() == [
        [0],
        [1],
    ]


def _with(table: pa.Table, column: str, values: dict[int, str]) -> pa.Table:
    texts = [values.get(row, text) for row, text in enumerate(table[column].to_pylist())]
    place = table.schema.get_field_index(column)
    return table.set_column(place, table.schema.field(column), pa.array(texts, pa.string()))


def test_false_negatives_of_the_batch_are_left_out() -> None:
    table = instance_table(4, negatives=(1,))
    # The queries 0 and 1 are the same; the positive of 2 is, but for case and space, that of 3.
    table = _with(
        _with(table, "query", {0: "Same query", 1: "same  QUERY"}), "positive", {2: "An Answer", 3: "an answer "}
    )
    batch = collate(Instances(table).rows(np.arange(4)))
    allowed_QP = allowed_in_batch(batch, batch.passages, 0, known_positives(table))

    expected_QP = torch.ones(4, 8, dtype=torch.bool)
    expected_QP[0, 1] = expected_QP[1, 0] = expected_QP[2, 3] = expected_QP[3, 2] = False
    torch.testing.assert_close(allowed_QP, expected_QP)


def test_positives_that_are_not_in_the_batch_are_known() -> None:
    table = instance_table(3, negatives=(1,))
    negative = table["negatives"][2].as_py()[0]["text"]
    table = _with(_with(table, "query", {0: "same", 1: "same"}), "positive", {1: negative})
    batch = collate(Instances(table).rows(np.array([0, 2])))
    allowed_QP = allowed_in_batch(batch, batch.passages, 0, known_positives(table))

    assert allowed_QP.tolist() == [[True, True, True, False], [True, True, True, True]]


def test_the_own_passages_may_lie_among_those_of_other_workers() -> None:
    table = instance_table(4, negatives=(1,))
    first, second = (collate(Instances(table).rows(rows)) for rows in (np.array([0, 1]), np.array([2, 3])))
    allowed_QP = allowed_in_batch(second, first.passages + second.passages, 4, known_positives(table))
    assert allowed_QP.shape == (2, 8)
    assert allowed_QP.all()
