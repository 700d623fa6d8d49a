"""Exported instances, read back by the loaders of the libraries that they are for."""

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch.distributed
from transformers import AutoTokenizer

from syneg import schemas
from syneg.errors import BadInput
from syneg.export import instances
from syneg.settings.encoder import EncoderConfig
from syneg.store import models
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


def scored(made: dict[str, Any]) -> dict[str, Any]:
    """With a cross-encoder's scores."""
    negatives = [negative | {"cross_score": -float(place)} for place, negative in enumerate(made["negatives"])]
    return made | {"positive_cross_score": 5.0, "negatives": negatives}


def test_flagembedding_has_the_teacher_s_scores_where_all_have_one(tmp_path: Path) -> None:
    rows = [scored(row(0, 2)), scored(row(1, 1)), row(2, 1, "too_few_retrieved")]  # the last one is not exported
    instances.write(table(*rows), "flagembedding", "", str(tmp_path / "all"))
    found = lines(tmp_path / "all" / "train.jsonl")
    assert [(one["pos_scores"], one["neg_scores"]) for one in found] == [([5.0], [0.0, -1.0]), ([5.0], [0.0])]
    rows[1]["negatives"][0]["cross_score"] = None
    instances.write(table(*rows), "flagembedding", "", str(tmp_path / "some"))
    assert not any("scores" in key for one in lines(tmp_path / "some" / "train.jsonl") for key in one)


def test_sentence_transformers_columns(tmp_path: Path) -> None:
    written = instances.write(SOURCE, "sentence-transformers", "", str(tmp_path))
    assert written == instances.Written(3, 2, 2, 0)
    read = pq.read_table(tmp_path / "train-00000.parquet")
    assert read.column_names == ["anchor", "positive", "negative_1", "negative_2"]
    assert read["anchor"].to_pylist() == [f"query {number} {ODD}" for number in (0, 1, 3)]
    assert read["negative_2"].to_pylist() == [f"negative {number}.1" for number in (0, 1, 3)]


def test_a_column_needs_a_text_in_every_row(tmp_path: Path) -> None:
    written = instances.write(table(row(0, 2), row(1, 1), row(2, 2)), "sentence-transformers", "", str(tmp_path))
    assert written == instances.Written(2, 2, 2, 1)
    assert pq.read_table(tmp_path / "train-00000.parquet")["anchor"].to_pylist() == [f"query {n} {ODD}" for n in (0, 2)]


def test_no_negatives_are_pairs_where_the_reader_takes_them(tmp_path: Path) -> None:
    source = table(row(0, 0), row(1, 0))
    for name in ("sentence-transformers", "flagembedding"):
        assert instances.write(source, name, "", str(tmp_path / name)) == instances.Written(2, 0, 0, 0)
    with pytest.raises(BadInput, match=r"No instance has a negative, as with .*in_batch_only"):
        instances.write(source, "tevatron", "", str(tmp_path / "tevatron"))


@pytest.mark.parametrize("name", ["flagembedding", "tevatron"])
def test_a_few_without_negatives_are_refused_where_the_reader_would_stop(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="1 of 2 instances have no negative"):
        instances.write(table(row(0, 0), row(1, 1)), name, "", str(tmp_path))


def test_lists_may_differ_in_length(tmp_path: Path) -> None:
    source = table(row(0, 3), row(1, 1), row(2, 2))
    assert instances.write(source, "tevatron", "", str(tmp_path)) == instances.Written(3, 1, 3, 0)


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


def in_flagembedding(
    folder: Path, number: int, train_group_size: int = 3, **settings: Any
) -> tuple[str, list[str], list[float] | None]:
    """Instance `number` of an export as FlagEmbedding's data set gives it: query, passages, the teacher's scores."""
    from FlagEmbedding.abc.finetune.embedder.AbsArguments import AbsEmbedderDataArguments
    from FlagEmbedding.abc.finetune.embedder.AbsDataset import AbsEmbedderTrainDataset

    train_data: Any = [str(folder / "train.jsonl")]
    no_tokenizer: Any = None
    settings |= {"cache_path": str(folder / "cache"), "train_group_size": train_group_size}
    arguments = AbsEmbedderDataArguments(train_data, **settings)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=0, world_size=1)
    try:
        return AbsEmbedderTrainDataset(arguments, no_tokenizer)[number]
    finally:
        torch.distributed.destroy_process_group()


def test_the_loader_of_flagembedding(tmp_path: Path) -> None:
    instances.write(SOURCE, "flagembedding", "find: ", str(tmp_path))
    query, passages, scores = in_flagembedding(tmp_path, 2, query_instruction_for_retrieval="ours goes over it: ")
    assert query == f"find: query 3 {ODD}"
    assert passages[0] == "positive 3"
    assert sorted(passages[1:]) == ["negative 3.0", "negative 3.1"]
    assert scores is None


def test_the_loader_of_flagembedding_takes_pairs_as_groups_of_one(tmp_path: Path) -> None:
    instances.write(table(row(0, 0), row(1, 0)), "flagembedding", "", str(tmp_path))
    assert in_flagembedding(tmp_path, 1, train_group_size=1) == (f"query 1 {ODD}", ["positive 1"], None)


def test_the_loader_of_flagembedding_finds_the_teacher_s_scores(tmp_path: Path) -> None:
    instances.write(table(scored(row(0, 2))), "flagembedding", "", str(tmp_path))
    _, passages, scores = in_flagembedding(tmp_path, 0, knowledge_distillation=True)
    assert scores
    assert dict(zip(passages, scores, strict=True)) == {"positive 0": 5.0, "negative 0.0": 0.0, "negative 0.1": -1.0}


def test_the_loader_of_tevatron(tmp_path: Path) -> None:
    """Of 0.1.0, its release: it reads the file and cuts it into tokens. What follows needs an older transformers."""
    from tevatron.arguments import DataArguments
    from tevatron.datasets import HFTrainDataset

    out = str(tmp_path / "out")
    instances.write(SOURCE, "tevatron", "", out)
    tokenizer = AutoTokenizer.from_pretrained(models.locate(EncoderConfig().model))
    in_this_process: Any = None  # with a pool, `datasets` leaves another os.environ behind
    settings = DataArguments(train_dir=out, dataset_name=out, dataset_proc_num=in_this_process)
    loaded = HFTrainDataset(tokenizer, settings, str(tmp_path / "cache")).process()

    def ids(*texts: str) -> list[list[int]]:
        return tokenizer(list(texts), add_special_tokens=False)["input_ids"]

    assert len(loaded) == 3
    assert [loaded[0]["query"]] == ids(f"query 0 {ODD}")
    assert loaded[0]["positives"] == ids("positive 0")
    assert loaded[0]["negatives"] == ids("negative 0.0", "negative 0.1")
