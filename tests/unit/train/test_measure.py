import numpy as np
import pytest
import torch

from syneg.train.batches import collate
from syneg.train.contrast import Contrasted
from syneg.train.instances import Instances
from syneg.train.measure import Record, Summed, step_sums
from syneg.train.similarities import similarities
from syneg.train.step import Scored
from tests.unit.train.instances import instance_table

# Instance 0 has a synthetic and two BM25 negatives, instance 1 none.
BATCH = collate(Instances.of(instance_table(2)).rows(np.array([0, 1])))
SCORES_QK = torch.tensor([[0.9, 0.5, 0.1, -0.3], [0.8, 9.0, 9.0, 9.0]])  # what stands for an absent negative is ignored
MASSES_QK = torch.tensor([[0.6, 0.1, 0.1, 0.1], [0.9, 9.0, 9.0, 9.0]])
SCORED = Scored(
    BATCH, Contrasted(torch.tensor([0.5, 0.1]), SCORES_QK, MASSES_QK, torch.empty(0), torch.empty(0)), tokens=40
)


def test_a_step_is_summed_over_workers_and_taken_apart() -> None:
    sums = step_sums([SCORED], ("bm25", "synthetic"), [True, False]) + step_sums(
        [SCORED], ("bm25", "synthetic"), [False, False]
    )
    summed = Summed.of(sums, wishes=2)
    assert summed.wishes == [True, False]
    row = Record(("bm25", "synthetic"), operations_per_token=3.0, peak=1000.0).row(summed, 4, norm=2.0, seconds=0.5)
    assert row["loss"] == pytest.approx(0.3)
    assert (row["queries_per_second"], row["tokens_per_second"]) == (8, 160)
    assert row["peak_share"] == pytest.approx(0.48)
    masses = {each["source"]: (each["mass"], each["negatives"]) for each in row["masses"]}
    assert masses["bm25"] == (pytest.approx(0.1), 1.0)
    assert masses["synthetic"] == (pytest.approx(0.05), 0.5)
    assert masses["in_batch"] == (pytest.approx((0.1 + 0.1) / 2), None)
    assert row["positive_scores"] == pytest.approx([0.8, 0.8, 0.8, 0.9, 0.9], abs=0.005)
    assert row["negative_scores"] == pytest.approx([-0.3, -0.3, 0.1, 0.5, 0.5], abs=0.005)


def test_the_variance_is_that_of_the_last_norms() -> None:
    record = Record((), 1.0, None)
    norms = [float(norm) for norm in np.random.default_rng(0).random(40)]
    rows = [record.row(Summed.of(step_sums([SCORED], (), []), 0), 2, norm, 1.0) for norm in norms]
    assert rows[0]["gradient_norm_variance"] == 0
    assert rows[-1]["gradient_norm_variance"] == pytest.approx(np.var(norms[-32:]))
    assert rows[-1]["peak_share"] is None


def test_similarities_are_a_row_a_passage_of_the_instance() -> None:
    rows = similarities(3, [SCORED, SCORED]).to_pylist()
    assert len(rows) == 10
    assert rows[4] | {"score": 0} == {
        "step": 3,
        "query_id": "q1",
        "positive_id": "p1",
        "text_id": "p1",
        "source": "positive",
        "score": 0,
    }
    assert [row["source"] for row in rows[:4]] == ["positive", "synthetic", "bm25", "bm25"]
    assert [row["score"] for row in rows[:5]] == pytest.approx([0.9, 0.5, 0.1, -0.3, 0.8])
