"""Every kind of bad input: a line for each fault that names file and line, what was seen, what was expected."""

from pathlib import Path

import pytest

from syneg.corpus import sources
from syneg.errors import BadInput
from syneg.settings.corpus import CorpusConfig
from tests.unit.corpus.folders import BEIR, MSMARCO, run_stage, write

HEADER = "query-id\tcorpus-id\tscore\n"
GONE = None  # in place of a file's content: the file is not there

BAD_BEIR = {
    "missing corpus": ({"corpus.jsonl": GONE}, ["corpus.path", "has no corpus.jsonl"]),
    "missing queries": ({"queries.jsonl": GONE}, ["has no queries.jsonl"]),
    "missing split": ({"qrels/train.tsv": GONE}, ["corpus.split", "train.tsv", "there: test. Expected"]),
    "missing test": (
        {"qrels/test.tsv": GONE},
        ["corpus.test_split", "splits found there: train. Expected judgements to test"],
    ),
    "no gzip": ({"corpus.jsonl": GONE, "corpus.jsonl.gz": b"plain"}, ["corpus.jsonl.gz", "whole gzip"]),
    "cut gzip": ({"corpus.jsonl": GONE, "corpus.jsonl.gz": b"\x1f\x8b\x08\0\0\0\0\0\0\3"}, ["whole gzip"]),
    "broken JSON": ({"corpus.jsonl": '{"_id": "p1", "text": "a"}\n{"_id": "p2", "te\n'}, ["corpus.jsonl:2", "broken"]),
    "no object": ({"corpus.jsonl": '["p1", "text"]\n'}, ["corpus.jsonl:1", "list", "an object"]),
    "two objects": ({"corpus.jsonl": '{"_id": "p1", "text": "a"}{"_id": "p2", "text": "b"}\n'}, ["corpus.jsonl:1"]),
    "two objects, and a blank line": (
        {"corpus.jsonl": '{"_id": "p1", "text": "a"}\n{"_id": "p2", "text": "b"}{"_id": "p3", "text": "c"}\n\n'},
        ["corpus.jsonl:2", "broken JSON", "one JSON object a line"],
    ),
    "two objects, and one over two lines": (
        {"corpus.jsonl": '{"_id": "p1", "text": "a"}{"_id": "p2", "text": "b"}\n{"_id": "p3",\n"text": "c"}\n'},
        ["corpus.jsonl:1", "broken JSON"],
    ),
    "an inner object at a line's end": (
        {"corpus.jsonl": '{"_id": "p1", "text": "a", "m": {}\n}{"_id": "p2", "text": "b"}\n'},
        ["corpus.jsonl:1", "broken JSON"],
    ),
    "deep JSON": ({"corpus.jsonl": "[" * 100_000 + "\n"}, ["corpus.jsonl:1", "broken JSON"]),
    "no id": ({"corpus.jsonl": '{"id": "p1", "text": "a"}\n'}, ["corpus.jsonl:1", "no `_id`, only id, text"]),
    "no text": ({"queries.jsonl": '{"_id": "q1"}\n'}, ["queries.jsonl:1", "no `text`"]),
    "number as id": (
        {"corpus.jsonl": '{"_id": 7, "text": "a"}\n'},
        ["corpus.jsonl:1", "is 7. Expected", '"_id": "7".'],
    ),
    "null text": ({"corpus.jsonl": '\n{"_id": "p1", "text": null}\n'}, ["corpus.jsonl:2", "`text` is null"]),
    "list title": ({"corpus.jsonl": '{"_id": "p1", "title": [], "text": "a"}\n'}, ["corpus.jsonl:1", "`title` is []"]),
    "blank id": ({"corpus.jsonl": '{"_id": " ", "text": "a"}\n'}, ["corpus.jsonl:1", "' ' is blank"]),
    "tab in id": ({"corpus.jsonl": '{"_id": "p\\t1", "text": "a"}\n'}, ["corpus.jsonl:1", r"'p\t1'"]),
    "surrogate in id": ({"corpus.jsonl": '{"_id": "p\\ud800", "text": "a"}\n'}, ["corpus.jsonl:1", "surrogate"]),
    "not UTF-8": (
        {"corpus.jsonl": '{"_id": "p1", "text": "é"}\n'.encode("latin-1")},
        ["corpus.jsonl:1", "0xe9", "UTF-8"],
    ),
    "UTF-16": ({"corpus.jsonl": BEIR["corpus.jsonl"].encode("utf-16")}, ["corpus.jsonl:1", "0xff", "UTF-8"]),
    "duplicate passage": (
        {"corpus.jsonl": BEIR["corpus.jsonl"] + '{"_id": "p2", "text": "b"}\n'},
        ["corpus.jsonl:4", "'p2'", "on line 2"],
    ),
    "duplicate query": (
        {"queries.jsonl": BEIR["queries.jsonl"] + '{"_id": "q1", "text": "which is first"}\n'},
        ["queries.jsonl:4", "'q1'", "on line 1"],
    ),
    "no passages": ({"corpus.jsonl": "\n\n"}, ["corpus.jsonl", "no passages"]),
    "empty corpus": ({"corpus.jsonl": ""}, ["corpus.jsonl", "no passages"]),
    "no queries": ({"queries.jsonl": "\n"}, ["queries.jsonl", "no queries"]),
    "empty queries": ({"queries.jsonl": ""}, ["queries.jsonl", "no queries"]),
    "qrels in two columns": ({"qrels/train.tsv": "q1\tp1\n"}, ["train.tsv:1", "2 columns", "score"]),
    "qrels by spaces": ({"qrels/train.tsv": HEADER + "q1 p1 1\n"}, ["train.tsv:2", "1 columns", "tab-separated"]),
    "fractional score": ({"qrels/train.tsv": HEADER + "q1\tp1\t0.5\n"}, ["train.tsv:2", "'0.5'", "integer"]),
    "huge score": ({"qrels/train.tsv": HEADER + "q1\tp1\t4294967296\n"}, ["train.tsv:2", "9 digits"]),
    "second header": ({"qrels/train.tsv": HEADER + HEADER + "q1\tp1\t1\n"}, ["train.tsv:2", "'score'"]),
    "unknown passage": (
        {"qrels/train.tsv": HEADER + "q1\tp1\t1\nq1\tp9\t1\nq9\tp1\t1\n"},
        ["train.tsv:3", "2 of 3 judgements", "line 3 passage 'p9'; line 4 query 'q9'", "corpus.on_missing=drop"],
    ),
    "unknown test passage": ({"qrels/test.tsv": HEADER + "q3\tp9\t1\n"}, ["test.tsv:2", "1 of 1 judgements"]),
    "judged in two ways": ({"qrels/train.tsv": HEADER + "q1\tp1\t1\nq1\tp1\t0\n"}, ["train.tsv:3", "line 2"]),
    "no training queries": ({"qrels/train.tsv": HEADER}, ["train.tsv", "no training queries"]),
    "no training positive": ({"qrels/train.tsv": "q1\tp1\t0\n"}, ["no training queries", "not_positive 2"]),
    "blank test positive": (
        {"corpus.jsonl": BEIR["corpus.jsonl"].replace("third", " ")},
        ["no test queries", "empty_positive 2"],
    ),
    "all train in test": ({"qrels/train.tsv": "q3\tp3\t1\n"}, ["no training queries", "held_out 1"]),
    "no test queries": ({"qrels/test.tsv": ""}, ["test.tsv", "no test queries"]),
}

BAD_MSMARCO = {
    "no collection": ({"collection.tsv": GONE}, ["has no collection.tsv"]),
    "no queries": ({"queries.train.tsv": GONE}, ["has no queries.train.tsv"]),
    "no qrels": ({"qrels.dev.small.tsv": GONE}, ["corpus.test_split", "found there: dev, train. Name one"]),
    "empty queries": ({"queries.dev.tsv": ""}, ["queries.dev.tsv", "no queries"]),
    "a document": ({"collection.tsv": "0\turl\ttitle\tbody\n"}, ["collection.tsv:1", "4 columns", "two"]),
    "no text": ({"collection.tsv": "0\tfirst\n1\n"}, ["collection.tsv:2", "1 columns"]),
    "blank id": ({"collection.tsv": "0\tfirst\n\tsecond\n"}, ["collection.tsv:2", "'' is blank"]),
    "duplicate": ({"collection.tsv": "0\tfirst\n1\tb\n0\tc\n"}, ["collection.tsv:3", "'0'", "on line 1"]),
    "not UTF-8": ({"collection.tsv": b"0\tfirst\n1\t\xff\n"}, ["collection.tsv:2", "0xff"]),
    "three columns": ({"qrels.train.tsv": "10\t0\t1\n"}, ["qrels.train.tsv:1", "3 columns", "four"]),
    "header": ({"qrels.train.tsv": "qid\tQ0\tpid\trel\n"}, ["qrels.train.tsv:1", "'rel'", "integer"]),
    "two texts": ({"queries.dev.tsv": "20\ta\n21\tb\n"}, ["queries.dev.tsv:2", "'21'", "another file"]),
    "unknown query": ({"qrels.train.tsv": "99\t0\t1\t1\n"}, ["qrels.train.tsv:1", "query '99'"]),
}


def _folder(tmp_path: Path, files: dict, changed: dict) -> str:
    merged = {name: content for name, content in {**files, **changed}.items() if content is not GONE}
    return str(write(tmp_path, merged))


def _assert_refused(corpus: CorpusConfig, parts: list[str]) -> None:
    with pytest.raises(BadInput) as refused:
        run_stage(corpus)
    message = str(refused.value)
    assert "xpected" in message or "Give" in message or "Name" in message
    for part in parts:
        assert part in message
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(("changed", "parts"), BAD_BEIR.values(), ids=BAD_BEIR.keys())
def test_bad_beir_folder_is_refused(tmp_path: Path, changed: dict, parts: list[str]) -> None:
    _assert_refused(CorpusConfig(path=_folder(tmp_path, BEIR, changed)), parts)


@pytest.mark.parametrize(("changed", "parts"), BAD_MSMARCO.values(), ids=BAD_MSMARCO.keys())
def test_bad_msmarco_folder_is_refused(tmp_path: Path, changed: dict, parts: list[str]) -> None:
    path = _folder(tmp_path, MSMARCO, changed)
    _assert_refused(CorpusConfig(source="msmarco", path=path, test_split="dev.small"), parts)


def test_files_without_a_split_in_their_names_are_to_be_renamed(tmp_path: Path) -> None:
    renamed = {"qrels.train.tsv": GONE, "queries.train.tsv": GONE, "qrels.dev.tsv": GONE, "queries.dev.tsv": GONE}
    plain = {"qrels.dev.small.tsv": GONE, "qrels.tsv": MSMARCO["qrels.train.tsv"], "queries.tsv": "10\ta\n"}
    corpus = CorpusConfig(source="msmarco", path=_folder(tmp_path, MSMARCO, renamed | plain))
    with pytest.raises(BadInput, match=r"there: none\. Rename qrels\.tsv to qrels\.train\.tsv and queries"):
        run_stage(corpus)


def test_a_split_that_another_role_has_by_default_is_to_be_freed(tmp_path: Path) -> None:
    corpus = CorpusConfig(source="msmarco", path=_folder(tmp_path, MSMARCO, {"qrels.dev.small.tsv": GONE}))
    with pytest.raises(BadInput, match=r"Name one .* \(for dev with corpus\.dev_split=null beside it\)"):
        run_stage(corpus)


def test_several_faults_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    lines = ['{"_id": 1, "text": "a"}', "{", '{"_id": "p1", "text": null}', '{"id": "p2"}', '{"_id": 1, "text": "b"}']
    seen = _told(tmp_path, {"corpus.jsonl": "\n".join([*lines, "}", "[", "1"])})
    assert [line.split(": ")[0].rpartition("/")[2] for line in seen] == [
        *(f"corpus.jsonl:{number}" for number in (1, 2, 3, 4, 6)),  # the fifth line has the fault of the first
        "There may be more.",
    ]


def test_several_faults_of_judgements_are_told_at_once(tmp_path: Path) -> None:
    seen = _told(tmp_path, {"qrels/train.tsv": "q1\nq2\tp2\t1\nq1 p1\n"})
    assert ["train.tsv:1" in seen[0], "train.tsv:3" in seen[1]] == [True, True]
    seen = _told(tmp_path, {"qrels/train.tsv": HEADER + "".join(f"q1\tp1\t0.{number}\n" for number in range(9))})
    assert [f"train.tsv:{number}:" in line for number, line in enumerate(seen[:5], 2)] == [True] * 5
    assert seen[5:] == ["There may be more."]


def _told(tmp_path: Path, changed: dict) -> list[str]:
    with pytest.raises(BadInput) as refused:
        run_stage(CorpusConfig(path=_folder(tmp_path, BEIR, changed)))
    return str(refused.value).splitlines()


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    _assert_refused(CorpusConfig(path=str(tmp_path / "none")), ["corpus.path", "no folder", "none"])


def test_a_folder_in_place_of_a_file_cannot_be_read(tmp_path: Path) -> None:
    path = write(tmp_path, {name: content for name, content in BEIR.items() if name != "corpus.jsonl"})
    (path / "corpus.jsonl").mkdir()
    _assert_refused(CorpusConfig(path=str(path)), ["corpus.jsonl", "cannot be read", "directory"])


def test_the_line_is_right_beyond_the_first_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("syneg.corpus.lines._BLOCK_BYTES", 64)
    lines = [f'{{"_id": "p{row}", "text": "a"}}\n' for row in range(1, 40)]
    lines[29] = '{"_id": "p30"}\n'
    corpus = CorpusConfig(path=_folder(tmp_path, BEIR, {"corpus.jsonl": "".join(lines)}))
    _assert_refused(corpus, ["corpus.jsonl:30", "no `text`"])


def test_a_limit_below_the_judged_passages_is_refused(tmp_path: Path) -> None:
    corpus = CorpusConfig(path=_folder(tmp_path, BEIR, {}), max_passages=2)
    with pytest.raises(BadInput, match=r"max_passages=2 is less than the 3 passages"):
        run_stage(corpus)


def test_unknown_splits_of_the_embedded_collection_are_refused() -> None:
    with pytest.raises(BadInput, match="has no split 'validation'"):
        run_stage(CorpusConfig(source="stdlib", dev_split="validation"))


def test_planning_refuses_missing_files_as_well(tmp_path: Path) -> None:
    path = _folder(tmp_path, BEIR, {"queries.jsonl": GONE})
    with pytest.raises(BadInput, match=r"has no queries\.jsonl"):
        sources.files(CorpusConfig(path=path))
