"""A mined passage as an example of the style, from mining's table to the gate."""

import json
from collections import Counter
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from ray.data import Dataset

from syneg import schemas
from syneg.generate import engine, stage
from syneg.generate.engines.asked import ANSWERED
from syneg.settings.generate import GenerateConfig
from syneg.stage import Inputs
from tests.integration.test_generate import ATTRIBUTES, answers, checked, context, corpus, sentence
from tests.memory import MemoryTable


def parrot(batch: pa.Table, columns: list[str]) -> pa.Table:
    """An engine that copies the example where it is shown one."""
    rows = []
    for row in batch.to_pylist():
        prompt = row["messages"][0]["content"]
        assert row["example"] in prompt
        assert ("style_document" in prompt) == bool(row["example"])
        text = json.dumps({"reasoning": "", "hard_negative": row["example"] or sentence("own")})
        told = {"answer": text, "finish_reason": "stop", "input_tokens": 9, "output_tokens": 7}
        rows.append({name: (row | told).get(name) for name in (*columns, *ANSWERED.names)})
    return pa.Table.from_pylist(rows, pa.schema([*(batch.schema.field(name) for name in columns), *ANSWERED]))


def answer(requests: Dataset, columns: list[str], *_: object) -> Dataset:
    return requests.map_batches(partial(parrot, columns=columns), batch_size=None, batch_format="pyarrow")


@pytest.mark.usefixtures("ray_session")
def test_a_mined_passage_is_shown_and_may_not_be_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "answer", answer)
    mined = dict.fromkeys(schemas.CANDIDATES.names) | {"query_id": "q03", "sampler": "bm25"}
    rows = [
        mined | {"passage_id": "p03", "rank": 0, "reject_reason": "positive"},
        mined | {"passage_id": "p04", "rank": 5},
    ]
    tables = {**corpus(5).tables, "candidates": MemoryTable(pa.Table.from_pylist(rows, schemas.CANDIDATES))}
    generate = GenerateConfig(attributes=ATTRIBUTES, style_example=True)
    written = answers(stage.run(Inputs(tables), context(tmp_path), generate=generate))
    examples = dict(zip(written["query_id"].to_pylist(), written["example"].to_pylist(), strict=True))
    assert examples.pop("q03") == f"title 04 {sentence('positive04w')}"
    assert examples == dict.fromkeys(("q00", "q01", "q02", "q04"), "")
    synthetic, _ = checked(written, generate, tmp_path)
    reasons = {row["query_id"]: row["reject_reason"] for row in synthetic}
    assert reasons.pop("q03") == "copies_example"
    assert Counter(reasons.values()) == {None: 1, "duplicate": 3}
