"""The mix stage on tables held in memory."""

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pyarrow as pa
import pytest

from syneg import schemas
from syneg.mix import stage
from syneg.settings.mine import MineConfig
from syneg.settings.mix import MixConfig
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs
from syneg.texts import normalized
from syneg.workers import InProcess
from tests.memory import MemoryTable, rows_of

NO_ATTRIBUTES = {"domain": "", "difficulty": "", "length": "", "reasoning": "", "prompt_version": "", "model": ""}


SCORED = ("query_id", "passage_id", "sampler", "rank", "score", "positive_score", "margin", "reject_reason")


def table(schema: pa.Schema, rows: list[tuple], names: Sequence[str] = ()) -> MemoryTable:
    records = [dict(zip(names or schema.names, row, strict=True)) for row in rows]
    return MemoryTable(pa.Table.from_pylist(records, schema=schema))


def written(negative_id: str, query_id: str, positive_id: str, text: str, reason: str | None) -> dict:
    row = {"negative_id": negative_id, "query_id": query_id, "positive_id": positive_id, "text": text}
    return row | NO_ATTRIBUTES | {"seed": 0, "input_tokens": 1, "output_tokens": 1, "reject_reason": reason}


@pytest.fixture
def inputs() -> Inputs:
    passages = [(f"p{row}", "", f"passage {row}") for row in range(8)] + [("p8", "", ""), ("p9", "", "Passage  1")]
    queries = [("q0", "zero", "train"), ("q1", "one", "train"), ("q2", "two", "train"), ("q3", "three", "test")]
    qrels = [("q0", "p0", 1), ("q0", "p1", 2), ("q1", "p2", 1), ("q2", "p8", 1), ("q3", "p3", 1), ("q1", "p4", 0)]
    candidates = [
        ("q0", "p1", "dense", 0, 0.9, 0.8, None, "positive"),
        ("q0", "p9", "dense", 1, 0.8, 0.8, None, None),  # the same text as p1, which the miner should have caught
        ("q0", "p3", "dense", 2, 0.7, 0.8, None, None),
        ("q0", "p4", "bm25", 0, 7.0, None, None, None),
        ("q0", "p5", "bm25", 1, 6.0, None, None, None),
        ("q1", "p5", "dense", 0, 0.7, 0.8, None, None),
        ("q2", "p5", "dense", 0, 0.7, 0.8, None, None),
    ]
    synthetic = [
        written("s0", "q0", "p0", "written for zero", None),
        written("s1", "q0", "p1", "too much like gold", "copies_positive"),
        written("s2", "q1", "p2", "written for one", None),
    ]
    return Inputs(
        {
            "passages": table(schemas.PASSAGES, passages),
            "queries": table(schemas.QUERIES, queries),
            "qrels": table(schemas.QRELS, qrels),
            "candidates": table(schemas.CANDIDATES, candidates, SCORED),
            "synthetic": MemoryTable(pa.Table.from_pylist(synthetic, schema=schemas.SYNTHETIC)),
            "positives": table(schemas.POSITIVES, []),
        }
    )


def mixed(inputs: Inputs, tmp_path: Path, **settings: object) -> tuple[dict[tuple[str, str], dict], dict]:
    mix = MixConfig.model_validate({"synthetic_per_instance": 1, "retrieved_per_instance": 1} | settings)
    output = stage.mixed(inputs, Context(ResourcesConfig(), tmp_path), InProcess(), mine=MineConfig(), mix=mix)
    rows = schemas.conform(rows_of(output, "instances"), schemas.INSTANCES).to_pylist()
    assert output.rows_in == len(rows)
    assert {row["reject_reason"] for row in rows} <= {None, *schemas.INSTANCE_REASONS}
    return {(row["query_id"], row["positive_id"]): row for row in rows}, dict(output.facts())


PAIRS = [("q0", "p0"), ("q0", "p1"), ("q1", "p2")]  # those whose positive is not empty


def ids(row: dict) -> list[str]:
    return [negative["id"] for negative in row["negatives"]]


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


def test_no_negative_has_the_text_of_a_positive_of_its_query(inputs: Inputs, tmp_path: Path) -> None:
    for strategy, on_short in product(("hybrid", "direct", "synthetic_only", "retrieved_only"), ("keep", "borrow")):
        rows, _ = mixed(inputs, tmp_path, retrieved_per_instance=5, strategy=strategy, on_short=on_short)
        for row in rows.values():
            texts = [normalized(negative["text"]) for negative in row["negatives"]]
            assert len(set(texts)) == len(texts)
            positives = {"q0": {"passage 0", "passage 1"}, "q1": {"passage 2"}, "q2": {""}}[row["query_id"]]
            assert not positives & set(texts)


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
    assert facts["borrowed"] == {"synthetic": 4}
    assert facts["short"] == {}
    assert facts["negatives"] == {"synthetic": 6}


def test_a_sampler_without_a_quota_gives_nothing(inputs: Inputs, tmp_path: Path) -> None:
    rows, facts = mixed(inputs, tmp_path, strategy="retrieved_only", quotas={"bm25": 1})
    assert ids(rows["q0", "p0"]) == ["p4", "p5"]
    assert rows["q1", "p2"]["reject_reason"] == "too_few_retrieved"
    assert facts["short"] == {"retrieved: none_found": 1}


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


def test_what_mining_rejected_for_a_query_is_not_lent_to_it(inputs: Inputs, tmp_path: Path) -> None:
    settings = {"strategy": "retrieved_only", "retrieved_per_instance": 2, "on_short": "borrow"}
    assert set(ids(mixed(inputs, tmp_path, **settings)[0]["q1", "p2"])) == {"p5", "p9"}
    passages = inputs.tables["passages"].table().to_pylist()
    passages[7] |= {"title": passages[9]["title"], "text": passages[9]["text"]}
    copied = MemoryTable(pa.Table.from_pylist(passages, schema=schemas.PASSAGES))
    accepted = inputs.tables["candidates"].table()
    for rejected, reason in product(("p9", "p7"), schemas.CANDIDATE_REASONS):
        row = table(schemas.CANDIDATES, [("q1", rejected, "dense", 1, 0.7, 0.8, None, reason)], SCORED).table()
        changed = {"candidates": MemoryTable(pa.concat_tables([accepted, row])), "passages": copied}
        rows, _ = mixed(Inputs({**inputs.tables, **changed}), tmp_path, **settings)
        says_nothing = reason in ("below_min_score", "short_query", "not_judged")
        assert ("p9" in ids(rows["q1", "p2"])) == says_nothing, (rejected, reason)


@pytest.mark.parametrize("shard_queries", [1, 8])
def test_no_negative_answers_the_same_text_under_another_id(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard_queries: int
) -> None:
    """q0 becomes "One", as q1 is but for case; p4, which answers q1, is what BM25 found for q0."""
    monkeypatch.setattr(stage, "_SHARD_QUERIES", shard_queries)
    queries = inputs.tables["queries"].table().to_pylist()
    queries[0]["text"] = "One"
    qrels = [("q0", "p0", 1), ("q1", "p4", 1), ("q2", "p2", 1)]
    changed = {
        "queries": MemoryTable(pa.Table.from_pylist(queries, schema=schemas.QUERIES)),
        "qrels": table(schemas.QRELS, qrels),
    }
    rows, _ = mixed(Inputs({**inputs.tables, **changed}), tmp_path, strategy="retrieved_only", on_short="keep")
    assert ids(rows["q0", "p0"]) == ["p9", "p3"]
    assert ids(rows["q1", "p4"]) == ["p5"]
    assert ids(rows["q2", "p2"]) == ["p5"]


def test_a_query_that_is_a_passage_is_not_lent_to_itself(inputs: Inputs, tmp_path: Path) -> None:
    """p5 becomes q1 itself, with a title before its text, so that the texts differ."""
    passages = inputs.tables["passages"].table().to_pylist()
    passages[5] |= {"passage_id": "q1", "title": "A title", "text": "one"}
    candidates = inputs.tables["candidates"].table().to_pylist()
    for row in candidates:
        row["passage_id"] = "q1" if row["passage_id"] == "p5" else row["passage_id"]
    tables = {
        "passages": MemoryTable(pa.Table.from_pylist(passages, schema=schemas.PASSAGES)),
        "candidates": MemoryTable(pa.Table.from_pylist(candidates, schema=schemas.CANDIDATES)),
    }
    settings = {"strategy": "retrieved_only", "retrieved_per_instance": 2, "on_short": "borrow"}
    rows, _ = mixed(Inputs({**inputs.tables, **tables}), tmp_path, **settings)
    assert "q1" in ids(rows["q0", "p0"])
    assert "q1" not in ids(rows["q1", "p2"])


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
    (warning,) = facts["warnings"]
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
