"""`syneg corpus`: what it reads, where it writes, and what it says was left out."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from syneg import cli
from syneg.errors import BadInput
from syneg.store import files
from tests.unit.corpus.folders import BEIR, MSMARCO, write

TEST_ONLY = {name: content for name, content in BEIR.items() if name != "qrels/train.tsv"}


def syneg_corpus(*arguments: str) -> Result:
    done = CliRunner().invoke(cli.app, ["corpus", *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def below(folder: Path) -> list[str]:
    return [name for name, _ in files.files_below(str(folder))]


def test_a_folder_that_has_judgements_to_test_on_alone(tmp_path: Path) -> None:
    source, out = str(write(tmp_path / "in", TEST_ONLY)), tmp_path / "out"
    with pytest.raises(BadInput, match=r"corpus\.split: .* has no judgements qrels/train\.tsv"):
        syneg_corpus(source, str(out))
    with pytest.raises(BadInput, match=r"corpus\.split=test, .* give corpus\.split=null"):
        syneg_corpus(source, str(out), "corpus.split=test")
    assert not out.exists()
    done = syneg_corpus(source, str(out), "corpus.split=null")
    assert below(out) == ["corpus.jsonl", "qrels/test.tsv", "queries.jsonl"]
    assert done.output == f"Wrote {source} to {out}; left out: 2 unjudged_query\n"


def test_ms_marcos_small_development_set_is_a_split(tmp_path: Path) -> None:
    source, out = str(write(tmp_path / "in", MSMARCO)), tmp_path / "out"
    done = syneg_corpus(source, str(out), "--msmarco", "corpus.test_split=dev.small")
    assert files.read(f"{out}/qrels/test.tsv") == b"query-id\tcorpus-id\tscore\n21\t2\t1\n"
    assert "left out: 2 held_out" in done.output


def test_judgements_of_what_is_missing_can_be_dropped(tmp_path: Path) -> None:
    judged = {**BEIR, "qrels/train.tsv": BEIR["qrels/train.tsv"] + "q1\tnowhere\t1\n"}
    source, out = str(write(tmp_path / "in", judged)), str(tmp_path / "out")
    with pytest.raises(BadInput, match=r"corpus\.on_missing=drop"):
        syneg_corpus(source, out)
    assert "left out: 1 missing_target" in syneg_corpus(source, out, "corpus.on_missing=drop").output


def test_a_query_whose_only_positive_is_blank_is_said_to_be_left_out(tmp_path: Path) -> None:
    blank = {**BEIR, "corpus.jsonl": BEIR["corpus.jsonl"].replace("second", "")}
    source, out = str(write(tmp_path / "in", blank)), str(tmp_path / "out")
    assert "left out: 2 empty_positive" in syneg_corpus(source, out).output


def test_nothing_left_out_is_said_too(tmp_path: Path) -> None:
    done = syneg_corpus(str(write(tmp_path / "in", BEIR)), str(tmp_path / "out"))
    assert done.output.endswith("; left out: nothing\n")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("train.epochs=2", "train.epochs: syneg corpus takes settings of one section"),
        ("corpus.path=/x", "corpus.path: SOURCE and --msmarco say what is read"),
        ("corpus.splt=x", r"unknown key corpus.splt; did you mean corpus.split\?"),
        ("corpus.on_missing=keep", "corpus.on_missing: expected 'refuse' or 'drop'; seen 'keep'"),
        ("corpus.dev_split=test", "must differ"),
    ],
)
def test_other_settings_are_refused(tmp_path: Path, change: str, expected: str) -> None:
    with pytest.raises(BadInput, match=expected):
        syneg_corpus(str(write(tmp_path / "in", BEIR)), str(tmp_path / "out"), change)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", ["s3:/bucket/x", "s3://", "gs://bucket/x"])
def test_half_an_address_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str) -> None:
    source = str(write(tmp_path / "in", BEIR))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=r"expected s3://bucket/prefix"):
        syneg_corpus(source, out)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_collection_goes_to_object_storage(tmp_path: Path, s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = str(write(tmp_path / "in", BEIR))
    monkeypatch.chdir(tmp_path)
    out = f"{s3_root}/collection"
    assert f"Wrote {source} to {out}" in syneg_corpus(source, out).output
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    names = [name for name, _ in files.files_below(out)]
    assert names == ["corpus.jsonl", "qrels/test.tsv", "qrels/train.tsv", "queries.jsonl"]
    with pytest.raises(BadInput, match="is not an empty folder"):
        syneg_corpus(source, out)
    syneg_corpus(out, str(tmp_path / "back"))
    assert (tmp_path / "back" / "corpus.jsonl").read_bytes() == files.read(f"{out}/corpus.jsonl")
    assert (tmp_path / "back" / "qrels" / "train.tsv").read_bytes() == files.read(f"{out}/qrels/train.tsv")


def test_the_help_says_what_is_left_out() -> None:
    said = " ".join(syneg_corpus("--help").output.split())
    assert "Queries without a judgement are left out" in said
    assert "held out" in said
