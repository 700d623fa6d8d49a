"""What readers let through, and that the fast way and the slow one give the same rows."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syneg.corpus import beir, msmarco, sources
from syneg.corpus.collection import record_batch
from syneg.corpus.lines import Block
from syneg.settings.corpus import CorpusConfig
from tests.unit.corpus.folders import BEIR, MSMARCO, run_stage, write

ANY_TEXT = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["", "\0", "\ud800x", "a\r\nb", "\u2028", "\t", "é😀"]
)


def test_beir_tables(tmp_path: Path) -> None:
    tables, output = run_stage(CorpusConfig(path=str(write(tmp_path, BEIR))))
    assert tables["passages"].to_pylist() == [
        {"passage_id": "p1", "title": "One", "text": "first"},
        {"passage_id": "p2", "title": "", "text": "second"},
        {"passage_id": "p3", "title": "", "text": "third"},
    ]
    assert tables["queries"]["query_id"].to_pylist() == ["q1", "q2", "q3"]
    assert tables["queries"]["split"].to_pylist() == ["train", "train", "test"]
    assert [tuple(row.values()) for row in tables["qrels"].to_pylist()] == [
        ("q1", "p1", 1),
        ("q2", "p2", 2),
        ("q3", "p3", 1),
    ]
    assert not output.rejected
    assert output.rows_in == 9


def test_msmarco_tables(tmp_path: Path) -> None:
    corpus = CorpusConfig(source="msmarco", path=str(write(tmp_path, MSMARCO)), test_split="dev.small")
    tables, output = run_stage(corpus)
    assert tables["passages"]["text"].to_pylist() == ["first passage", "second passage", 'third "quoted passage']
    assert dict(zip(*tables["queries"].select(["query_id", "split"]).to_pydict().values(), strict=True)) == {
        "10": "train",
        "11": "train",
        "20": "dev",
        "21": "test",
    }
    assert output.rejected == {"held_out": 2}  # dev.small's query and its judgement stand in dev as well
    assert [Path(path).name for path in sources.files(corpus)] == [
        "collection.tsv",
        "queries.dev.small.tsv",
        "queries.dev.tsv",
        "queries.train.tsv",
        "qrels.train.tsv",
        "qrels.dev.tsv",
        "qrels.dev.small.tsv",
    ]


@pytest.mark.parametrize("files", [BEIR, MSMARCO], ids=["beir", "msmarco"])
def test_gzip_carriage_returns_marks_and_blank_lines_change_nothing(tmp_path: Path, files: dict) -> None:
    source = "beir" if files is BEIR else "msmarco"
    test_split = "test" if files is BEIR else "dev.small"
    odd = {f"{name}.gz": "\ufeff" + content.replace("\n", "\r\n") + " \r\n\r\n" for name, content in files.items()}
    plain, packed = (
        run_stage(CorpusConfig(source=source, path=str(write(tmp_path / name, these)), test_split=test_split))[0]
        for name, these in (("plain", files), ("packed", odd))
    )
    assert packed == plain


def test_a_headerless_file_of_judgements_loses_no_line(tmp_path: Path) -> None:
    headerless = {**BEIR, "qrels/train.tsv": "q1\tp1\t1\nq2\tp2\t2\n"}
    assert (
        run_stage(CorpusConfig(path=str(write(tmp_path / "a", headerless))))[0]
        == (run_stage(CorpusConfig(path=str(write(tmp_path / "b", BEIR))))[0])
    )


def test_nul_and_lone_surrogates_are_replaced_and_counted(tmp_path: Path) -> None:
    corpus = (
        b'{"_id": "p1", "title": "a\\u0000", "text": "\\ud83d\\ude00 \\ud83d"}\n'
        b'{"_id": "p2", "text": "raw \0 and \xed\xa0\x80"}\n'
        b'{"_id": "p3", "text": "tab\\tin text"}\n'
    )
    tables, output = run_stage(CorpusConfig(path=str(write(tmp_path, {**BEIR, "corpus.jsonl": corpus}))))
    assert tables["passages"]["title"].to_pylist() == ["a\ufffd", "", ""]
    assert tables["passages"]["text"].to_pylist() == ["😀 \ufffd", "raw \ufffd and \ufffd", "tab\tin text"]
    assert output.facts()["replaced_characters"] == 4


def test_empty_passages_are_kept_and_counted(tmp_path: Path) -> None:
    corpus = BEIR["corpus.jsonl"] + '{"_id": "p4", "text": ""}\n{"_id": "p5", "title": " ", "text": "\\n"}\n'
    tables, output = run_stage(CorpusConfig(path=str(write(tmp_path, {**BEIR, "corpus.jsonl": corpus}))))
    assert len(tables["passages"]) == output.facts()["passages"] == 5
    assert output.facts()["empty_passages"] == 2


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.from_regex(r"[!-~]{1,5}", fullmatch=True), ANY_TEXT, ANY_TEXT), max_size=6),
    ascii_=st.booleans(),
)
def test_any_text_survives_json(tmp_path_factory: pytest.TempPathFactory, rows: list, ascii_: bool) -> None:
    lines = [json.dumps({"_id": key, "title": title, "text": text}, ensure_ascii=ascii_) for key, title, text in rows]
    path = tmp_path_factory.mktemp("beir") / "corpus.jsonl"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    read = [tuple(row.values())[:4] for batch in beir.records(str(path)) for row in batch.to_pylist()]
    fit = [tuple(re.sub("[\0\ud800-\udfff]", "\ufffd", field) for field in row) for row in rows]
    assert read == [(*row, number) for number, row in enumerate(fit, 1)]


@settings(deadline=None)
@given(st.lists(st.tuples(st.from_regex(r"[!-~]{1,5}", fullmatch=True), st.text(max_size=20)), min_size=1, max_size=6))
def test_arrow_parses_what_the_slow_way_does(rows: list[tuple[str, str]]) -> None:
    jsonl = "".join(json.dumps({"_id": key, "text": text}) + "\n" for key, text in rows)
    tsv = "".join(f"{key}\t{re.sub(chr(92) + 's', ' ', text)}\n" for key, text in rows)
    for reader, content in ((beir, jsonl), (msmarco, tsv)):
        block = Block("file", 7, content.encode())
        plain = reader._parse_plain(block)
        if plain is not None:
            assert plain == record_batch("file", [reader._record("file", *line) for line in block.numbered()])
        else:
            assert "\0" in content or "\\u0000" in content or "\r" in content


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_one_object_a_line_is_read_the_fast_way(end: str) -> None:
    content = f'{{"_id": "p1", "text": "a}}"}}{end}{{"_id": "p2", "text": "b", "more": {{"c": {{}}}}}}'
    for last in ("", end):
        plain = beir._parse_plain(Block("file", 1, (content + last).encode()))
        assert plain is not None
        assert plain["text"].to_pylist() == ["a}", "b"]


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_blocks_of_any_size_give_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    corpus = CorpusConfig(path=str(write(tmp_path, BEIR)))
    expected, _ = run_stage(corpus)
    monkeypatch.setattr("syneg.corpus.lines._BLOCK_BYTES", size)
    assert run_stage(corpus)[0] == expected
