import numpy as np
import pytest

from syneg.errors import StageFailed
from syneg.train.batches import KnownPositives, Order, collate, shares, text_key
from syneg.train.instances import Instances
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


def test_candidates_point_to_the_texts_of_their_instance() -> None:
    batch = collate(Instances.of(instance_table(5)).rows(np.array([4, 1, 2])))

    assert batch.candidates_QK.tolist() == [[0, 3, 4, 5], [1, -1, -1, -1], [2, 6, 7, -1]]
    assert batch.passage_ids == ["p4", "p1", "p2", "n4.0", "n4.1", "n4.2", "n2.0", "n2.1"]
    assert batch.sources == ["positive"] * 3 + ["synthetic", "bm25", "bm25", "synthetic", "bm25"]
    assert batch.passages[3] == batch.instances[0]["negatives"][0]["text"]


def test_no_negatives_at_all_is_a_batch_too() -> None:
    assert collate(Instances.of(instance_table(2, negatives=(0,))).rows(np.array([0, 1]))).candidates_QK.tolist() == [
        [0],
        [1],
    ]


def test_workers_without_a_share_are_noticed_before_the_first_step() -> None:
    """1,001 instances in batches of 8 are steps of 8 and, from the 120th on, of 7."""
    Order(1_001, 8, seed=0).check_shares(7)
    with pytest.raises(StageFailed, match="steps of 7 or more, of which 8 workers"):
        Order(1_001, 8, seed=0).check_shares(8)
    with pytest.raises(StageFailed, match=r"Raise train\.batch_size"):
        Order(9, 8, seed=0).check_shares(5)
    Order(9, 9, seed=0).check_shares(5)
    with pytest.raises(StageFailed, match=r"2 instances for 3 workers.*max_workers to 2 or less\.$"):
        Order(2, 8, seed=0).check_shares(3)  # whatever the size of a batch


def _pairs(known: KnownPositives, queries: list[int], passages: list[int]) -> set[tuple[int, int]]:
    query, passage = known.among(np.array(queries, np.int64), np.array(passages, np.int64))
    return set(zip(query.tolist(), passage.tolist(), strict=True))


def test_passages_that_answer_a_query_are_found_by_key() -> None:
    # Query 5 is answered by 50 and 51, query 6 by 50, query 7 by 70; of query 8 nothing is known.
    known = KnownPositives.of(np.array([7, 5, 6, 5]), np.array([70, 50, 50, 51]))
    found = _pairs(known, [5, 8, 6], [51, 70, 50, 50])
    assert found == {(0, 0), (0, 2), (0, 3), (2, 2), (2, 3)}
    assert _pairs(known, [5, 8], [8, 51, 5]) == {(0, 1), (0, 2), (1, 0)}  # nor is a query a negative of itself
    assert _pairs(known, [], [50]) == _pairs(known, [5], []) == set()
    assert _pairs(KnownPositives.of(np.empty(0, np.int64), np.empty(0, np.int64)), [5], [50]) == set()


def test_found_pairs_are_those_of_a_loop() -> None:
    draw = np.random.default_rng(0)
    queries, positives = draw.integers(0, 20, 60), draw.integers(0, 30, 60)
    asked, passages = draw.integers(0, 25, 15), draw.integers(0, 30, 40)
    pairs = set(zip(queries.tolist(), positives.tolist(), strict=True))
    own = pairs | {(key, key) for key in range(30)}
    expected = {(i, j) for i, query in enumerate(asked) for j, key in enumerate(passages) if (query, key) in own}
    assert _pairs(KnownPositives.of(queries, positives), asked.tolist(), passages.tolist()) == expected


def test_keys_see_through_case_and_space() -> None:
    assert text_key("An Answer") == text_key("an  answer ")
    assert text_key("an answer") != text_key("another")
    assert -(2**63) <= text_key("") < 2**63
