"""`syneg evaluate` as a user starts it: two tiny models on a collection that has nothing to train on."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner, Result

from syneg.cli import app
from syneg.errors import BadInput
from syneg.pipeline import execution
from tests.tiny_bert import tiny_bert
from tests.unit.corpus.folders import write

WORDS = ["apples", "pears", "plums", "cherries", "grapes", "melons", "figs", "dates"]
PASSAGES = [{"_id": f"p{row}", "text": f"of {word}"} for row, word in enumerate(WORDS)]
QUERIES = [{"_id": f"q{row}", "text": word} for row, word in enumerate(WORDS)]
FILES = {
    "corpus.jsonl": "".join(json.dumps(row) + "\n" for row in PASSAGES),
    "queries.jsonl": "".join(json.dumps(row) + "\n" for row in QUERIES),
    "qrels/test.tsv": "".join(f"q{row}\tp{row}\t1\n" for row in range(len(WORDS))),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models base, copy (the same weights) and other; the collection fruit; a config."""
    folder = tmp_path_factory.mktemp("evaluate")
    tiny_bert(folder / "base")
    tiny_bert(folder / "copy")
    model = SentenceTransformer(str(tiny_bert(folder / "other")), device="cpu")
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.5)
    model.save(str(folder / "other"), create_model_card=False)
    write(folder / "fruit", FILES)
    config = {
        "name": "fruit",
        "store": {"root": str(folder / "out")},
        "corpus": {"path": str(folder / "nowhere")},
        "encoder": {"model": str(folder / "base"), "query_max_length": 16, "passage_max_length": 16},
        "evaluate": {"measures": ["nDCG@10", "MRR@3", "Recall@1"], "depth": 20},
        "resources": {"cpus": 2, "object_store_gib": 0.5},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def syneg(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", str(folder / "config.yaml"), *arguments], env={"COLUMNS": "200"})


@pytest.mark.usefixtures("ray_session")
def test_scores_models_beside_base_and_bm25_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = [word for name in ("copy", "other") for word in ("--model", str(folder / name))]
    done = syneg(folder, *models, "--corpus", str(folder / "fruit"))
    assert done.exit_code == 0, done.output
    assert done.output.index("a gain has to be about") < done.output.index("copy over base")
    target = folder / "out" / "evaluations" / "fruit"
    record = json.loads((target / "evaluation.json").read_text())
    found = record["collections"]["fruit"]
    assert found["queries"] == 8
    assert list(found["scores"]) == ["base", "copy", "other", "bm25"]
    assert found["scores"]["bm25"]["Recall@1"] == 1
    assert found["scores"]["copy"] == found["scores"]["base"] != found["scores"]["other"]
    (same,) = [one for one in found["comparisons"] if (one["baseline"], one["treated"]) == ("base", "copy")]
    assert (same["difference"], same["p"], same["shown"]) == (0, 1, False)
    assert pq.read_table(target / "scores.parquet").num_rows == 4 * 3 * 8
    for system in ("base", "copy", "other", "bm25"):
        lines = (target / "runs" / "fruit" / f"{system}.trec").read_text().splitlines()
        assert len(lines) == len({tuple(line.split()[:3]) for line in lines}) == (8 * 8 if system != "bm25" else 8)
    assert len((target / "runs" / "fruit" / "qrels.test").read_text().splitlines()) == 8
    assert all((folder / "out" / output / "manifest.json").exists() for output in record["outputs"])

    monkeypatch.setattr(execution, "run", lambda *given: pytest.fail("something was computed again"))
    again = syneg(folder, *models, "--corpus", str(folder / "fruit"), "--out", str(folder / "elsewhere"))
    assert again.exit_code == 0, again.output
    content = json.loads((folder / "elsewhere" / "evaluation.json").read_text())
    assert content["collections"] == record["collections"]


@pytest.mark.usefixtures("ray_session")
def test_an_id_that_trec_cannot_write_costs_its_trec_files_alone(folder: Path) -> None:
    spaced = {name: text.replace("q7", "q 7") for name, text in FILES.items()}
    write(folder / "spaced", spaced)
    done = syneg(folder, "--corpus", str(folder / "spaced"), "--corpus", str(folder / "fruit"), "name=both")
    assert done.exit_code == 0, done.output
    assert "'q 7' holds white space" in done.output
    target = folder / "out" / "evaluations" / "both"
    assert set(json.loads((target / "evaluation.json").read_text())["collections"]) == {"spaced", "fruit"}
    assert (target / "runs" / "fruit" / "base.trec").exists()


def test_a_file_in_the_place_of_the_output_starts_nothing(folder: Path) -> None:
    refused = syneg(folder, "--corpus", str(folder / "fruit"), "--out", str(folder / "config.yaml"))
    assert isinstance(refused.exception, BadInput)
    assert "exists already, as a file" in str(refused.exception)


def test_a_wrong_folder_starts_nothing(folder: Path) -> None:
    before = set(folder.rglob("*"))
    refused = syneg(folder, "--model", str(folder / "gone"), "--corpus", str(folder / "fruit"))
    assert isinstance(refused.exception, BadInput)
    assert refused.exception.exit_code == 2
    assert set(folder.rglob("*")) == before
