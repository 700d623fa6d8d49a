"""A folder that was written reads as the same tables."""

from pathlib import Path

import pytest

from syneg.corpus.export import write_beir
from syneg.errors import BadInput
from syneg.settings.corpus import CorpusConfig
from syneg.store import files
from tests.unit.corpus.folders import BEIR, MSMARCO, run_stage, write

ODD = '{"_id": "p4", "title": "\\ud800\\u2028", "text": "tab\\t, line\\r\\n, quote \\" and \\u0000"}\n'


@pytest.mark.usefixtures("whole_library")
@pytest.mark.parametrize("source", ["beir", "msmarco", "stdlib"])
def test_reading_back_gives_the_same_tables(tmp_path: Path, source: str) -> None:
    settings = {
        "beir": {"path": str(write(tmp_path / "beir", {**BEIR, "corpus.jsonl": BEIR["corpus.jsonl"] + ODD}))},
        "msmarco": {"path": str(write(tmp_path / "msmarco", MSMARCO)), "test_split": "dev.small"},
        "stdlib": {"max_passages": 60, "max_queries": 20, "max_dev_queries": 5, "max_test_queries": 5},
    }
    corpus = CorpusConfig.model_validate({"source": source, **settings[source]})
    write_beir(corpus, str(tmp_path / "out"))
    assert run_stage(CorpusConfig(path=str(tmp_path / "out")))[0] == run_stage(corpus)[0]


def test_nothing_is_written_over(tmp_path: Path) -> None:
    corpus = CorpusConfig(path=str(write(tmp_path / "in", BEIR)))
    kept = write(tmp_path / "out", {"notes.txt": "mine"})
    with pytest.raises(BadInput, match="exists already"):
        write_beir(corpus, str(kept))
    with pytest.raises(BadInput, match="exists already"):
        write_beir(corpus, str(kept / "notes.txt"))
    assert [path.name for path in kept.iterdir()] == ["notes.txt"]


def test_bad_input_writes_nothing(tmp_path: Path) -> None:
    corpus = CorpusConfig(path=str(write(tmp_path / "in", {**BEIR, "corpus.jsonl": "{}\n"})))
    with pytest.raises(BadInput, match="no `_id`"):
        write_beir(corpus, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_was_left_half_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With judgements to train on and without them: those that a reader needs come last."""
    judged = {**BEIR, "qrels/dev.tsv": "q2\tp2\t1\n", "qrels/train.tsv": "q1\tp1\t1\n"}
    folder = str(write(tmp_path / "in", judged))
    written: list[str] = []
    monkeypatch.setattr(files, "put_chunks", lambda path, chunks: written.append(path.rpartition("/")[2]))
    write_beir(CorpusConfig(path=folder), str(tmp_path / "out"))
    write_beir(CorpusConfig(path=folder, split=None), str(tmp_path / "out"))
    names = ["corpus.jsonl", "queries.jsonl", "dev.tsv", "test.tsv"]
    assert written == [*names, "train.tsv", *names]
