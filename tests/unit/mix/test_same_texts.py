"""No negative is an answer in disguise, and none stands twice, however passages are called."""

from itertools import product
from pathlib import Path

import pyarrow as pa
import pytest

from syneg import rejection, schemas
from syneg.mix import stage
from syneg.stage import Inputs
from syneg.texts import normalized
from tests.memory import MemoryTable
from tests.unit.mix.sample import SCORED, ids, mixed, table


def test_no_negative_has_the_text_of_a_positive_of_its_query(inputs: Inputs, tmp_path: Path) -> None:
    for strategy, on_short in product(("hybrid", "direct", "synthetic_only", "retrieved_only"), ("keep", "borrow")):
        rows, _ = mixed(inputs, tmp_path, retrieved_per_instance=5, strategy=strategy, on_short=on_short)
        for row in rows.values():
            texts = [normalized(negative["text"]) for negative in row["negatives"]]
            assert len(set(texts)) == len(texts)
            positives = {"q0": {"passage 0", "passage 1"}, "q1": {"passage 2"}, "q2": {""}}[row["query_id"]]
            assert not positives & set(texts)


def test_one_body_under_two_titles_is_one_text(inputs: Inputs, tmp_path: Path) -> None:
    """p4, p5 and p9 have one body, which is also s2's; p3 has that of q0's own positive."""
    passages = inputs.tables["passages"].table().to_pylist()
    for row, body in ((3, "passage 1"), (4, "Written for one"), (5, "written for  one"), (9, "written for one")):
        passages[row] |= {"title": f"Title {row}", "text": body}
    given = Inputs({**inputs.tables, "passages": MemoryTable(pa.Table.from_pylist(passages, schema=schemas.PASSAGES))})
    for strategy, on_short in product(("hybrid", "retrieved_only"), ("keep", "borrow")):
        rows, _ = mixed(given, tmp_path, strategy=strategy, on_short=on_short, retrieved_per_instance=5)
        kept = {key: [one["text"] for one in row["negatives"]] for key, row in rows.items()}
        assert all(sum("ritten for" in text and "one" in text for text in texts) <= 1 for texts in kept.values()), kept
        assert not any("passage 1" in text for key, texts in kept.items() for text in texts if key[0] == "q0")


def test_what_mining_rejected_for_a_query_is_not_lent_to_it(inputs: Inputs, tmp_path: Path) -> None:
    settings = {"strategy": "retrieved_only", "retrieved_per_instance": 2, "on_short": "borrow"}
    assert set(ids(mixed(inputs, tmp_path, **settings)[0]["q1", "p2"])) == {"p5", "p9"}
    passages = inputs.tables["passages"].table().to_pylist()
    passages[7] |= {"title": passages[9]["title"], "text": passages[9]["text"]}
    copied = MemoryTable(pa.Table.from_pylist(passages, schema=schemas.PASSAGES))
    accepted = inputs.tables["candidates"].table()
    for rejected, reason in product(("p9", "p7"), rejection.REASONS["candidates"]):
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
