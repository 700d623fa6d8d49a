"""The mix stage on tables held in memory."""

import json
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from syneg import schemas
from syneg.mix import stage
from syneg.mix.shard import Recipe, Shard
from syneg.settings.mine import MineConfig
from syneg.settings.mix import MixConfig
from syneg.stage import Inputs
from tests.memory import MemoryTable
from tests.unit.mix.sample import PAIRS, SCORED, ids, mixed, table


def test_one_row_a_training_pair_with_its_reason(inputs: Inputs, tmp_path: Path) -> None:
    rows, facts = mixed(inputs, tmp_path)
    assert {key: row["reject_reason"] for key, row in rows.items()} == {
        ("q0", "p0"): None,
        ("q0", "p1"): None,
        ("q1", "p2"): None,
        ("q2", "p8"): "empty_positive",
    }
    assert ids(rows["q0", "p0"]) == ["s0", "p4"]  # dense had its turn with p9
    assert ids(rows["q0", "p1"]) == ["p4", "p3"]  # its synthetic one was rejected
    assert ids(rows["q1", "p2"]) == ["s2", "p5"]
    assert facts == {
        "with_synthetic": 2,
        "synthetic_share": 1 / 3,
        "synthetic_replaced": {"all_rejected": 1},
        "negatives": {"bm25": 2, "dense": 2, "synthetic": 2},
        "borrowed": {},
        "short": {},
        "struck_in_review": 0,
        "warnings": [],
    }


def test_the_cross_encoder_s_scores_come_along(inputs: Inputs, tmp_path: Path) -> None:
    candidates = inputs.tables["candidates"].table().to_pylist()
    for row in candidates:
        row["cross_score"] = float(row["passage_id"][1:])
    scored = {
        "candidates": MemoryTable(pa.Table.from_pylist(candidates, schema=schemas.CANDIDATES)),
        "positives": table(schemas.POSITIVES, [("q1", "p2", 7.5), ("q0", "p1", 8.5), ("q9", "p0", 1.0)]),
    }
    given = Inputs({**inputs.tables, **scored})
    rows, _ = mixed(given, tmp_path)
    assert [rows[key]["positive_cross_score"] for key in PAIRS] == [None, 8.5, 7.5]
    of_negatives = [[negative["cross_score"] for negative in rows[key]["negatives"]] for key in PAIRS]
    assert of_negatives == [[None, 4.0], [4.0, 3.0], [None, 5.0]]  # none for what is synthetic
    borrowed, _ = mixed(given, tmp_path, strategy="retrieved_only", retrieved_per_instance=5, on_short="borrow")
    for row in borrowed.values():
        for negative in row["negatives"]:
            assert (negative["cross_score"] is None) == (negative["rank"] is None)


def test_one_kind_only(inputs: Inputs, tmp_path: Path) -> None:
    one = {"synthetic_per_instance": 1, "retrieved_per_instance": 0}
    retrieved, facts = mixed(inputs, tmp_path, strategy="retrieved_only", **one)
    assert [ids(retrieved[key]) for key in PAIRS] == [["p4"], ["p4"], ["p5"]]
    assert facts["with_synthetic"] == facts["synthetic_share"] == 0
    synthetic, facts = mixed(inputs, tmp_path, strategy="synthetic_only", **one)
    assert [ids(synthetic[key]) for key in PAIRS] == [["s0"], [], ["s2"]]
    assert synthetic["q0", "p1"]["reject_reason"] == "too_few_synthetic"
    assert facts["short"] == {"synthetic: all_rejected": 1}


def test_in_batch_only_has_every_pair_and_no_negative(inputs: Inputs, tmp_path: Path) -> None:
    rows, facts = mixed(inputs, tmp_path, strategy="in_batch_only")
    assert [(ids(rows[key]), rows[key]["reject_reason"]) for key in PAIRS] == [([], None)] * 3
    assert facts["negatives"] == {}


@pytest.mark.parametrize(
    ("strategy", "unmade"),
    [
        ("retrieved_only", {"synthetic"}),
        ("synthetic_only", {"candidates", "positives"}),
        ("in_batch_only", {"synthetic", "candidates", "positives"}),
    ],
)
def test_tables_that_nobody_made_change_nothing(
    inputs: Inputs, tmp_path: Path, strategy: str, unmade: set[str]
) -> None:
    less = Inputs({name: source for name, source in inputs.tables.items() if name not in unmade})
    settings = {"strategy": strategy, "on_short": "borrow"}
    with_all, without = (mixed(given, tmp_path, **settings)[0] for given in (inputs, less))
    assert without == with_all
    assert all(row["reject_reason"] in (None, "empty_positive") for row in without.values())


@pytest.mark.parametrize(("on_short", "reason"), [("drop", "too_few_retrieved"), ("keep", None)])
def test_a_short_instance(inputs: Inputs, tmp_path: Path, on_short: str, reason: str | None) -> None:
    rows, facts = mixed(inputs, tmp_path, retrieved_per_instance=3, on_short=on_short)
    assert ids(rows["q1", "p2"]) == ["s2", "p5"]
    assert rows["q1", "p2"]["reject_reason"] == reason
    # (q0, p1) has all three retrieved ones and no synthetic one; (q0, p0) has everything
    assert facts["short"] == {"retrieved: too_few_found": 1, "synthetic: all_rejected": 1}


def test_a_short_instance_borrows_of_its_own_kind(inputs: Inputs, tmp_path: Path) -> None:
    settings = {"strategy": "synthetic_only", "synthetic_per_instance": 2, "retrieved_per_instance": 0}
    rows, facts = mixed(inputs, tmp_path, on_short="borrow", **settings)
    assert [set(ids(rows[key])) for key in PAIRS] == [{"s0", "s2"}] * 3
    assert ids(rows["q1", "p2"])[0] == "s2", "its own comes first"
    assert [[one["borrowed_from"] for one in rows[key]["negatives"]] for key in PAIRS] == [
        [None, "q1"],
        ["q0", "q1"] if ids(rows["q0", "p1"])[0] == "s0" else ["q1", "q0"],
        [None, "q0"],
    ]
    assert facts["borrowed"] == {"synthetic": 4}
    assert facts["short"] == {}
    assert facts["negatives"] == {"synthetic": 6}


def test_a_sampler_without_a_quota_gives_nothing(inputs: Inputs, tmp_path: Path) -> None:
    rows, facts = mixed(inputs, tmp_path, strategy="retrieved_only", quotas={"bm25": 1})
    assert ids(rows["q0", "p0"]) == ["p4", "p5"]
    assert rows["q1", "p2"]["reject_reason"] == "too_few_retrieved"
    assert rows["q1", "p2"]["short"] == "retrieved: none_found"
    assert rows["q0", "p0"]["short"] is None
    assert facts["short"] == {"retrieved: none_found": 1}
    (warning,) = facts["warnings"]
    assert warning.startswith("1 of 3 pairs were dropped")
    assert "2 are left" in warning


def test_what_the_gate_left_to_retrieved_ones_is_said(inputs: Inputs, tmp_path: Path) -> None:
    rejected = inputs.tables["synthetic"].table().to_pylist()
    for row in rejected:
        row["reject_reason"] = "too_short"
    tables = {"synthetic": MemoryTable(pa.Table.from_pylist(rejected, schema=schemas.SYNTHETIC))}
    _, facts = mixed(Inputs({**inputs.tables, **tables}), tmp_path, on_short="keep")
    assert "Of 2 places for synthetic negatives 2 were given to retrieved ones" in facts["warnings"][0]


def test_what_two_samplers_found_alike_takes_no_turn_twice(inputs: Inputs, tmp_path: Path) -> None:
    """In its first round ance ranks as dense does; the candidates that are left still fill the instance."""
    passages = [(f"p{row}", "", f"passage {row}") for row in range(60)]
    ranked = [("q1", f"p{row}", row - 10) for row in range(10, 60)]
    found = [(*row, 0.5, 0.8, None, None) for row in ranked]
    candidates = [(*row[:2], sampler, *row[2:]) for row in found for sampler in ("bm25", "dense")]
    tables = {
        "passages": table(schemas.PASSAGES, passages),
        "candidates": table(schemas.CANDIDATES, candidates, SCORED),
    }
    rows, _ = mixed(Inputs({**inputs.tables, **tables}), tmp_path, strategy="retrieved_only", retrieved_per_instance=39)
    assert ids(rows["q1", "p2"]) == [f"p{row}" for row in range(10, 50)]
    assert [one["source"] for one in rows["q1", "p2"]["negatives"][:4]] == ["dense", "bm25"] * 2


def test_a_review_is_a_filter(inputs: Inputs, tmp_path: Path) -> None:
    decisions = [
        {"query_id": "q0", "positive_id": "p0", "negative_id": "s0", "decision": "reject"},
        {"query_id": "q0", "positive_id": "p0", "negative_id": "p4", "decision": "reject"},
        {"query_id": "q1", "positive_id": "p2", "decision": "reject", "note": "no answer\u2028in it"},
        {"query_id": "q0", "positive_id": "p1", "decision": "reject"},
        {"query_id": "q0", "positive_id": "p1", "decision": "accept"},
        {"query_id": "q0", "positive_id": "p1", "negative_id": "s0", "decision": "reject"},  # not of this pair
    ]
    path = tmp_path / "review.jsonl"
    written = "\n".join(json.dumps(decision, ensure_ascii=False) for decision in decisions)
    path.write_text(f"\ufeff{written}", encoding="utf-8")
    rows, facts = mixed(inputs, tmp_path, review=str(path))
    assert ids(rows["q0", "p0"]) == ["p3", "p5"]
    assert rows["q1", "p2"]["reject_reason"] == "rejected_in_review"
    assert rows["q0", "p1"]["reject_reason"] is None
    assert facts["struck_in_review"] == 2
    *_, warning = facts["warnings"]
    assert "1 of 4 rejections changed nothing" in warning
    assert "(q0, p1, s0)" in warning


@pytest.mark.parametrize("strategy", ["hybrid", "synthetic_only"])
def test_shards_change_nothing_but_the_order(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    settings = {"strategy": strategy, "on_short": "borrow"}
    monkeypatch.setattr(stage, "_LENDING_QUERIES", 1)  # all of the first shard, however small
    whole, facts = mixed(inputs, tmp_path, **settings)
    monkeypatch.setattr(stage, "_SHARD_QUERIES", 1)
    assert mixed(inputs, tmp_path, **settings) == (whole, facts)


@pytest.mark.parametrize("on_short", ["keep", "random"])
def test_random_passages_fill_up_though_no_quota_names_their_sampler(
    inputs: Inputs, tmp_path: Path, on_short: Literal["keep", "random"]
) -> None:
    drawn = [("q1", "p6", "random", 0, None, None, None, None)]
    tables = (inputs.tables["candidates"], table(schemas.CANDIDATES, drawn, SCORED))
    candidates = pa.concat_tables([each.table() for each in tables])
    mine = MineConfig.model_validate({"samplers": {"dense": {}, "random": {}}, "on_short": on_short})
    pairs = pa.Table.from_pylist(
        [{"query_id": "q1", "passage_id": "p2", "query": "one", "answers": ["p2"], "cross_score": None}]
    )
    synthetic = inputs.tables["synthetic"].table().slice(0, 0)
    recipe = Recipe(mine, MixConfig(strategy="retrieved_only", quotas={"dense": 1}))
    shard = Shard(pairs, candidates.filter(pc.field("query_id") == "q1"), synthetic, recipe)
    assert ("p6" in shard.needed) == (on_short == "random")
