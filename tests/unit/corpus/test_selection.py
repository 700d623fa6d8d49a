"""Which queries, judgements and passages are left, and why the others are not."""

import json
import random
from pathlib import Path

from syneg.settings.corpus import CorpusConfig
from tests.unit.corpus.folders import BEIR, run_stage, write


def _many(folder: Path, order: random.Random | None = None) -> CorpusConfig:
    """60 passages, 30 training queries and 10 test queries with two judgements each, lines in any order."""
    lines = {
        "corpus.jsonl": [json.dumps({"_id": f"p{row}", "text": f"text {row}"}) for row in range(60)],
        "queries.jsonl": [json.dumps({"_id": f"q{row}", "text": f"query {row}"}) for row in range(45)],
        "qrels/train.tsv": [f"q{row}\tp{row + other}\t1" for row in range(30) for other in (0, 3)],
        "qrels/test.tsv": [f"q{row}\tp{row}\t1" for row in range(30, 40)],
    }
    if order:
        for each in lines.values():
            order.shuffle(each)
    write(folder, {name: "\n".join(each) + "\n" for name, each in lines.items()})
    return CorpusConfig(path=str(folder), max_passages=30, max_queries=8, max_test_queries=4)


def test_limits_do_not_depend_on_the_order_of_lines(tmp_path: Path) -> None:
    tables, output = run_stage(_many(tmp_path / "a"))
    shuffled, _ = run_stage(_many(tmp_path / "b", random.Random(7)))
    for name, rows in tables.items():
        key = rows.column_names[:2]
        assert rows.sort_by([(column, "ascending") for column in key]) == (
            shuffled[name].sort_by([(column, "ascending") for column in key])
        )
    assert len(tables["passages"]) == 30
    assert tables["queries"]["split"].to_pylist() == ["train"] * 8 + ["test"] * 4
    assert set(tables["qrels"]["passage_id"].to_pylist()) <= set(tables["passages"]["passage_id"].to_pylist())
    assert set(tables["qrels"]["query_id"].to_pylist()) == set(tables["queries"]["query_id"].to_pylist())
    # 22 + 6 queries with 44 + 6 judgements, and 30 passages
    assert output.rejected == {"over_limit": 108, "unjudged_query": 5}


def test_another_seed_keeps_other_queries(tmp_path: Path) -> None:
    corpus = _many(tmp_path)
    first, second = (run_stage(corpus.model_copy(update={"seed": seed}))[0]["queries"] for seed in (0, 1))
    assert first != second


def test_a_smaller_limit_keeps_a_part_of_what_a_larger_one_keeps(tmp_path: Path) -> None:
    corpus = _many(tmp_path)
    small = run_stage(corpus.model_copy(update={"max_queries": 3}))[0]["queries"]["query_id"].to_pylist()
    assert set(small) < set(run_stage(corpus)[0]["queries"]["query_id"].to_pylist())


def test_limits_above_the_rows_change_nothing(tmp_path: Path) -> None:
    path = str(write(tmp_path, BEIR))
    assert (
        run_stage(CorpusConfig(path=path, max_passages=99, max_queries=99))[0] == run_stage(CorpusConfig(path=path))[0]
    )


def test_a_limit_on_a_split_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    corpus = CorpusConfig(path=str(write(tmp_path, BEIR)))
    assert run_stage(corpus.model_copy(update={"max_dev_queries": 5}))[0] == run_stage(corpus)[0]


def test_missing_targets_are_dropped_and_counted_when_asked(tmp_path: Path) -> None:
    qrels = BEIR["qrels/train.tsv"] + "q1\tp9\t1\nq9\tp1\t1\n"
    corpus = CorpusConfig(path=str(write(tmp_path, {**BEIR, "qrels/train.tsv": qrels})), on_missing="drop")
    tables, output = run_stage(corpus)
    assert output.rejected == {"missing_target": 2}
    assert len(tables["qrels"]) == 3


def test_test_comes_before_dev_and_dev_before_train(tmp_path: Path) -> None:
    files = {
        **BEIR,
        "qrels/train.tsv": "q1\tp1\t1\nq2\tp2\t1\nq3\tp1\t1\n",
        "qrels/dev.tsv": "q2\tp2\t1\nq3\tp3\t1\n",
        "qrels/test.tsv": "q3\tp3\t1\n",
    }
    tables, output = run_stage(CorpusConfig(path=str(write(tmp_path, files))))
    assert tables["queries"].select(["query_id", "split"]).to_pydict() == {
        "query_id": ["q1", "q2", "q3"],
        "split": ["train", "dev", "test"],
    }
    assert output.rejected == {"held_out": 3}


def test_queries_without_positives_or_words_are_left_out_with_their_judgements(tmp_path: Path) -> None:
    files = {
        **BEIR,
        "queries.jsonl": BEIR["queries.jsonl"] + '{"_id": "q4", "text": " "}\n{"_id": "q5", "text": "unjudged"}\n',
        "qrels/train.tsv": "q1\tp1\t1\nq1\tp2\t0\nq2\tp1\t0\nq2\tp2\t-1\nq4\tp1\t1\n",
    }
    tables, output = run_stage(CorpusConfig(path=str(write(tmp_path, files))))
    assert tables["queries"]["query_id"].to_pylist() == ["q1", "q3"]
    assert tables["qrels"]["relevance"].to_pylist() == [1, 0, 1]
    assert output.rejected == {"empty_query": 2, "not_positive": 3, "unjudged_query": 1}


def test_queries_whose_positives_are_all_blank_are_left_out_with_their_judgements(tmp_path: Path) -> None:
    files = {
        **BEIR,
        "corpus.jsonl": BEIR["corpus.jsonl"]
        + '{"_id": "p4", "text": ""}\n{"_id": "p5", "title": " ", "text": "\\n"}\n',
        "queries.jsonl": BEIR["queries.jsonl"] + '{"_id": "q4", "text": "what is blank"}\n',
        "qrels/train.tsv": "q1\tp1\t1\nq1\tp4\t1\nq2\tp2\t0\nq2\tp5\t1\n",
        "qrels/test.tsv": "q3\tp3\t1\nq4\tp4\t1\nq4\tp5\t2\n",
    }
    tables, output = run_stage(CorpusConfig(path=str(write(tmp_path, files))))
    assert tables["queries"]["query_id"].to_pylist() == ["q1", "q3"]
    assert tables["qrels"]["passage_id"].to_pylist() == ["p1", "p4", "p3"]
    assert output.rejected == {"empty_positive": 6}  # two queries, with two judgements each
    assert len(tables["passages"]) == 5


def test_repeated_judgements_count_once(tmp_path: Path) -> None:
    qrels = BEIR["qrels/train.tsv"] + "q1\tp1\t1\nq1\tp1\t1\n"
    tables, output = run_stage(CorpusConfig(path=str(write(tmp_path, {**BEIR, "qrels/train.tsv": qrels}))))
    assert output.rejected == {"repeated_judgement": 2}
    assert len(tables["qrels"]) == 3


def test_splits_go_by_role_not_by_name(tmp_path: Path) -> None:
    files = {name.replace("train", "mine"): content for name, content in BEIR.items()}
    tables, _ = run_stage(CorpusConfig(path=str(write(tmp_path, files)), split="mine"))
    assert tables["queries"]["split"].to_pylist() == ["train", "train", "test"]


def test_a_collection_that_is_just_evaluated_on_needs_nothing_to_train_on(tmp_path: Path) -> None:
    files = {name: content for name, content in BEIR.items() if name != "qrels/train.tsv"}
    tables, output = run_stage(CorpusConfig(path=str(write(tmp_path, files)), split=None))
    assert tables["queries"]["split"].to_pylist() == ["test"]
    assert len(tables["passages"]) == 3
    assert output.rejected == {"unjudged_query": 2}
