"""Real collections: their known counts."""

from collections import Counter
from pathlib import Path

from syneg.corpus.export import write_beir
from syneg.settings.corpus import CorpusConfig
from tests.unit.corpus.folders import run_stage


def test_scifact_counts(scifact: Path) -> None:
    tables, output = run_stage(CorpusConfig(path=str(scifact)))
    splits = dict(zip(*tables["queries"].select(["query_id", "split"]).to_pydict().values(), strict=True))
    assert len(tables["passages"]) == 5183
    assert Counter(splits.values()) == {"train": 809, "test": 300}
    assert Counter(splits[query_id] for query_id in tables["qrels"]["query_id"].to_pylist()) == {
        "train": 919,
        "test": 339,
    }
    assert not output.rejected
    assert output.facts()["empty_passages"] == 0


def test_nq_mini_counts_with_its_dev_split(nq_mini: Path) -> None:
    tables, output = run_stage(CorpusConfig(path=str(nq_mini)))
    assert len(tables["passages"]) + output.rejected.get("duplicate_text", 0) == 1938
    assert Counter(tables["queries"]["split"].to_pylist()) == {"train": 1161, "dev": 194, "test": 300}


def test_scifact_survives_an_export(scifact: Path, tmp_path: Path) -> None:
    corpus = CorpusConfig(path=str(scifact), max_passages=1500, max_queries=50, max_test_queries=50)
    write_beir(corpus, str(tmp_path / "out"))
    assert run_stage(CorpusConfig(path=str(tmp_path / "out")))[0] == run_stage(corpus)[0]
