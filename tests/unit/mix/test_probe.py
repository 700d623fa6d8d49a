"""The source-shortcut probe: a planted shortcut is found and named, and none is seen where there is none."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from syneg import schemas
from syneg.mix import probing, shortcut
from syneg.on_ray.workers import InProcess
from syneg.settings.encoder import EncoderConfig
from syneg.settings.probe import ProbeConfig
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs
from tests.memory import MemoryTable

WORDS = ["red", "blue", "fox", "whale", "tree", "stone", "night", "day", "river", "cloud", "song", "door"]
DIMENSIONS = 16


def instances(pairs: int, retrieved_words: int = 30, ending: str = ".", seed: int = 0) -> pa.Table:
    """One synthetic negative of about 30 words and one retrieved one a query."""
    draw = np.random.default_rng(seed)

    def text(words: int, end: str) -> str:
        return " ".join(draw.choice(WORDS, words + int(draw.integers(-5, 6)))) + end

    def negative(name: str, source: str, content: str) -> dict:
        return {"id": name, "text": content, "source": source, "score": None, "rank": None}

    rows = [
        {
            "query_id": f"q{pair}",
            "query": f"query {pair}",
            "positive_id": f"p{pair}",
            "positive": f"positive {pair}",
            "negatives": [
                negative(f"s{pair}", "synthetic", text(30, ".")),
                negative(f"r{pair}", "bm25", text(retrieved_words, ending)),
            ],
            "reject_reason": None,
        }
        for pair in range(pairs)
    ]
    return pa.Table.from_pylist(rows, schema=schemas.INSTANCES)


def vectors(pairs: int, shift: float) -> MemoryTable:
    values = np.random.default_rng(1).normal(shift, 1, (pairs, DIMENSIONS)).astype("<f2")
    table = {"id": [f"r{pair}" for pair in range(pairs)], "vector": [row.tobytes() for row in values]}
    return MemoryTable(pa.table(table, schema=schemas.vectors(DIMENSIONS)))


def facts(table: pa.Table, tmp_path: Path, shift: float = 0.0, **settings: object) -> dict:
    inputs = Inputs({"instances": MemoryTable(table), "passage_vectors": vectors(table.num_rows, shift)})
    config = ProbeConfig.model_validate(settings)
    context = Context(ResourcesConfig(), tmp_path, workers=InProcess())
    output = probing.run(inputs, context, encoder=EncoderConfig(), probe=config)
    found = dict(output.facts())
    assert output.rows_in == output.rows_out == found["synthetic"] + found["retrieved"]
    return found


@pytest.fixture(autouse=True)
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors around 0 for synthetic texts; the real encoder is in the test of the whole run."""

    def encode(folder: Path, encoder: EncoderConfig, texts: list[str]) -> np.ndarray:
        return np.random.default_rng(2).normal(0, 1, (len(texts), DIMENSIONS)).astype(np.float32)

    monkeypatch.setattr(probing, "_encode", encode)


def test_two_kinds_of_one_make_are_not_told_apart(tmp_path: Path) -> None:
    found = facts(instances(100), tmp_path)
    assert (found["synthetic"], found["retrieved"]) == (100, 100)
    assert all(abs(view["auc"] - 0.5) < 0.15 for view in found["auc"].values()), found
    assert found["warnings"] == []


def test_another_length_is_told_and_said_in_words(tmp_path: Path) -> None:
    found = facts(instances(100, retrieved_words=60), tmp_path)
    assert found["auc"]["length"]["auc"] > 0.99
    assert found["auc"]["vector"]["auc"] < 0.7
    (warning,) = [line for line in found["warnings"] if "length" in line.split(":")[0]]
    assert re.search(r"median (29|30|31) words against (59|60|61)", warning)
    assert "`length` in the attributes file" in warning


def test_another_style_is_told_and_named(tmp_path: Path) -> None:
    found = facts(instances(100, ending=" 1234 56789 2024 111 99 5 6 7."), tmp_path, warn_above=0.9)
    assert found["auc"]["style"]["auc"] > 0.99
    assert found["style_differs_most_by"] in ("digits", "characters per word", "words per sentence")
    assert any("digits" in line or "their style alone" in line for line in found["warnings"])


def test_other_vectors_are_told(tmp_path: Path) -> None:
    found = facts(instances(100), tmp_path, shift=1.0)
    assert found["auc"]["vector"]["auc"] > 0.95
    assert [line for line in found["warnings"] if "the encoder's vectors" in line]


def test_too_few_are_not_judged(tmp_path: Path) -> None:
    found = facts(instances(12), tmp_path)
    (warning,) = found.pop("warnings")
    assert found == {"synthetic": 12, "retrieved": 12, "auc": {}}
    assert "there are 12 and 12, and 20 of each are needed" in warning


def test_negatives_of_too_few_queries_are_not_judged(tmp_path: Path) -> None:
    """As with a limit of three queries that have many positives each."""
    table = instances(100)
    of_three = [f"q{row % 3}" for row in range(table.num_rows)]
    found = facts(table.set_column(0, table.schema.field("query_id"), [of_three]), tmp_path)
    assert (found["synthetic"], found["auc"]) == (100, {})


def test_a_fold_without_one_kind_does_not_count() -> None:
    draw = np.random.default_rng(0)
    queries = np.concatenate([np.zeros(20, int), np.arange(1, 3), np.repeat(np.arange(3, 20), 5)])  # most of one query
    synthetic = np.arange(len(queries)) < 22
    found = shortcut.told_apart(draw.normal(size=(len(queries), 2)), synthetic, queries, 5, 0)
    assert 0 <= found.auc <= 1


def test_a_sample_does_not_depend_on_blocks_or_order() -> None:
    table = instances(50)
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(50)))
    whole = probing.sample([table], 10, 0)
    assert probing.sample([shuffled.slice(start, 7) for start in range(0, 50, 7)], 10, 0) == whole
    assert [len(kind) for kind in whole] == [10, 10]
    assert probing.sample([table], 10, 1) != whole


def test_texts_of_one_query_stand_in_one_fold() -> None:
    """Features that only name the query help nobody who never saw it."""
    queries = np.repeat(np.arange(40), 2)
    synthetic = np.tile([True, False, False, True], 20)
    named = np.eye(40)[queries]
    assert shortcut.told_apart(named, synthetic, queries, folds=5, seed=0).auc == pytest.approx(0.5, abs=0.01)
