"""Exported instances, read back by the loaders of the libraries that they are for, where those are installed."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from syneg import schemas
from syneg.errors import BadInput
from syneg.export import instances
from tests.memory import MemoryTable

ODD = 'café "quoted" <b>\u2028line\x1fend'


def row(number: int, negatives: int, reason: str | None = None) -> dict[str, Any]:
    return {
        "query_id": f"q{number}",
        "query": f"query {number} {ODD}",
        "positive_id": f"p{number}",
        "positive": f"positive {number}",
        "negatives": [
            {
                "id": f"n{number}.{place}",
                "text": f"negative {number}.{place}",
                "source": "bm25",
                "score": 1.0,
                "rank": place,
            }
            for place in range(negatives)
        ],
        "reject_reason": reason,
    }


def table(*rows: dict[str, Any]) -> MemoryTable:
    return MemoryTable(pa.Table.from_pylist(list(rows), schema=schemas.INSTANCES))


SOURCE = table(row(0, 2), row(1, 2), row(2, 1, "too_few_retrieved"), row(3, 2))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def test_flagembedding_has_the_teacher_s_scores_where_all_have_one(tmp_path: Path) -> None:
    rows = [row(0, 2), row(1, 1), row(2, 1, "too_few_retrieved")]  # the last one is not exported
    for made in rows[:2]:
        made["positive_cross_score"] = 5.0
        for place, negative in enumerate(made["negatives"]):
            negative["cross_score"] = -float(place)
    instances.write(table(*rows), "flagembedding", "", str(tmp_path / "all"))
    found = lines(tmp_path / "all" / "train.jsonl")
    assert [(one["pos_scores"], one["neg_scores"]) for one in found] == [([5.0], [0.0, -1.0]), ([5.0], [0.0])]
    rows[1]["negatives"][0]["cross_score"] = None
    instances.write(table(*rows), "flagembedding", "", str(tmp_path / "some"))
    assert not any("scores" in key for one in lines(tmp_path / "some" / "train.jsonl") for key in one)


def test_sentence_transformers_columns(tmp_path: Path) -> None:
    written = instances.write(SOURCE, "sentence-transformers", "", str(tmp_path))
    assert written == instances.Written(3, 2, 0)
    read = pq.read_table(tmp_path / "train-00000.parquet")
    assert read.column_names == ["anchor", "positive", "negative_1", "negative_2"]
    assert read["anchor"].to_pylist() == [f"query {number} {ODD}" for number in (0, 1, 3)]
    assert read["negative_2"].to_pylist() == [f"negative {number}.1" for number in (0, 1, 3)]


def test_a_column_needs_a_text_in_every_row(tmp_path: Path) -> None:
    written = instances.write(table(row(0, 2), row(1, 1), row(2, 2)), "sentence-transformers", "", str(tmp_path))
    assert written == instances.Written(2, 2, 1)
    assert pq.read_table(tmp_path / "train-00000.parquet")["anchor"].to_pylist() == [f"query {n} {ODD}" for n in (0, 2)]


def test_no_negatives_are_pairs_for_sentence_transformers_and_nothing_for_others(tmp_path: Path) -> None:
    source = table(row(0, 0), row(1, 0))
    assert instances.write(source, "sentence-transformers", "", str(tmp_path)) == instances.Written(2, 0, 0)
    for name in ("flagembedding", "tevatron"):
        with pytest.raises(BadInput, match="2 of 2 instances have no negative"):
            instances.write(source, name, "", str(tmp_path / name))


def test_a_run_without_instances_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no accepted instance"):
        instances.write(table(row(0, 1, "empty_positive")), "tevatron", "", str(tmp_path))


def test_flagembedding_lines(tmp_path: Path) -> None:
    instances.write(SOURCE, "flagembedding", "find: ", str(tmp_path))
    assert lines(tmp_path / "train.jsonl")[1] == {
        "query": f"query 1 {ODD}",
        "pos": ["positive 1"],
        "neg": ["negative 1.0", "negative 1.1"],
        "prompt": "find: ",
    }


def test_tevatron_lines(tmp_path: Path) -> None:
    instances.write(SOURCE, "tevatron", "", str(tmp_path))
    assert lines(tmp_path / "train.jsonl")[0] == {
        "query_id": "q0",
        "query": f"query 0 {ODD}",
        "positive_passages": [{"docid": "p0", "text": "positive 0"}],
        "negative_passages": [{"docid": "n0.0", "text": "negative 0.0"}, {"docid": "n0.1", "text": "negative 0.1"}],
    }


def test_the_loader_of_sentence_transformers(tmp_path: Path) -> None:
    """Its trainer takes a datasets.Dataset and hands the columns to its collator."""
    datasets = pytest.importorskip("datasets")
    from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator

    instances.write(SOURCE, "sentence-transformers", "", str(tmp_path / "out"))
    loaded = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "out" / "*.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    seen: list[list[str]] = []

    def tokenize(texts: list[str], **_: Any) -> dict[str, Any]:
        seen.append(texts)
        return {"input_ids": texts}

    SentenceTransformerDataCollator(tokenize)([loaded[0], loaded[2]])
    assert seen == [
        [f"query 0 {ODD}", f"query 3 {ODD}"],
        ["positive 0", "positive 3"],
        ["negative 0.0", "negative 3.0"],
        ["negative 0.1", "negative 3.1"],
    ]


def test_the_loader_of_flagembedding(tmp_path: Path) -> None:
    dataset = pytest.importorskip("FlagEmbedding.abc.finetune.embedder.AbsDataset")
    arguments = pytest.importorskip("FlagEmbedding.abc.finetune.embedder.AbsArguments")
    instances.write(SOURCE, "flagembedding", "find: ", str(tmp_path / "out"))
    import torch.distributed

    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        settings = arguments.AbsEmbedderDataArguments(
            train_data=[str(tmp_path / "out" / "train.jsonl")],
            train_group_size=3,
            query_instruction_for_retrieval="ours goes over it: ",
            cache_path=str(tmp_path / "cache"),
        )
        query, passages, scores = dataset.AbsEmbedderTrainDataset(settings, tokenizer=None)[2]
    finally:
        torch.distributed.destroy_process_group()
    assert query == f"find: query 3 {ODD}"
    assert passages[0] == "positive 3"
    assert sorted(passages[1:]) == ["negative 3.0", "negative 3.1"]
    assert scores is None


def test_the_loader_of_tevatron(tmp_path: Path) -> None:
    dataset = pytest.importorskip("tevatron.retriever.dataset")
    arguments = pytest.importorskip("tevatron.retriever.arguments")
    instances.write(SOURCE, "tevatron", "", str(tmp_path / "out"))
    settings = arguments.DataArguments(
        dataset_name="json",
        dataset_path=str(tmp_path / "out" / "train.jsonl"),
        dataset_cache_dir=str(tmp_path / "cache"),
        train_group_size=3,
    )
    trainer = SimpleNamespace(state=SimpleNamespace(epoch=0), args=SimpleNamespace(seed=0))
    query, passages = dataset.TrainDataset(settings, trainer)[0]
    texts = [passage[0] if isinstance(passage, tuple) else passage for passage in passages]
    assert (query[0] if isinstance(query, tuple) else query) == f"query 0 {ODD}"
    assert texts[0] == "positive 0"
    assert sorted(texts[1:]) == ["negative 0.0", "negative 0.1"]
