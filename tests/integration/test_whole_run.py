"""The main job from end to end as a user starts it, on a tiny corpus: real vLLM, FAISS, BM25, DeepSpeed."""

import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pytest

from syneg import rejection
from syneg.config.run import RunConfig
from syneg.pipeline import graph, pipeline
from syneg.settings.store import StoreConfig
from syneg.store.manifest import output_folder
from syneg.texts import normalized, passage_text

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.engine

SETTINGS = {
    "corpus": {
        "source": "stdlib",
        "max_passages": 120,
        "max_queries": 12,
        "max_dev_queries": 1,
        "max_test_queries": 10,
    },
    "encoder": {"query_max_length": 32, "passage_max_length": 64},
    "generate": {
        "attributes": "configs/attributes/stdlib.yaml",
        "max_pairs": 8,
        "max_tokens": 160,
        "top_p": 1.0,
        "max_model_len": 1536,
        "max_positive_words": 40,
        "max_reasoning_chars": 70,
        "max_negative_chars": 230,
    },
    "mine": {"samplers": {"dense": {"window_end": 20, "relative_margin": 0.05}, "bm25": {"window_end": 20}}},
    "mix": {"on_short": "keep"},
    "train": {"batch_size": 4, "in_batch_negatives": True, "query_max_length": 32, "passage_max_length": 64},
    "resources": {
        "cpus": 2,
        "object_store_gib": 0.5,
        "generate": {"cpus": 2},
        "encode": {"cpus": 2},
        "train": {"cpus": 2},
    },
}


def syneg(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    return subprocess.run(
        [sys.executable, "jobs/run.py", *arguments], cwd=ROOT, capture_output=True, text=True, env=environment
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Path]:
    root = tmp_path_factory.mktemp("root")
    config = RunConfig.model_validate({"name": "tiny", "store": {"root": str(root)}, **SETTINGS})
    # Relative, as a person gives it: not every worker has the driver's working directory.
    given = config.model_copy(update={"store": StoreConfig(root=os.path.relpath(root, ROOT))})
    path = root / "config.yaml"
    path.write_text(given.model_dump_json())  # JSON is YAML
    done = syneg(str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    return config, path


def table(config: RunConfig, stage: str, name: str) -> pa.Table:
    (step,) = [step for step in pipeline.plan(config) if step.stage.name == stage]
    assert step.manifest is not None
    folder = Path(output_folder(config.store.root, stage, step.manifest.fingerprint)) / name
    paths = [str(folder / part.name) for part in step.manifest.tables[name]]
    return pyarrow.dataset.dataset(paths, format="parquet").to_table()


def report(config: RunConfig) -> dict:
    return json.loads((Path(config.store.root) / "runs" / config.name / "report.json").read_text())


def test_the_report_has_every_stage_and_the_scores(finished: tuple[RunConfig, Path]) -> None:
    config, _ = finished
    content = report(config)
    assert list(content["stages"]) == list(graph.names(config))
    for stage in content["stages"].values():
        assert stage["rows_in"] == stage["rows_out"] + sum(stage["rejected"].values())
        assert stage["rows_out"] > 0
        assert not stage["reused"]
    assert content["generation"]["requests"] == 8
    assert content["generation"]["output_tokens"] > 0
    for system in ("base", "tuned", "bm25"):
        assert set(content["scores"][system]) == {"nDCG@10", "MRR@10", "Recall@100", "MAP"}
    page = (Path(config.store.root) / "runs" / "tiny" / "report.html").read_text()
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    cards = [
        (Path(config.store.root) / "runs" / "tiny" / f"{kind}-card.md").read_text() for kind in ("dataset", "model")
    ]
    assert "Apache-2.0" in cards[0]
    assert content["verdict"]["sentence"].split(" ")[0] in cards[1]
    assert (Path(config.store.root) / "runs" / "tiny" / "model" / "README.md").read_text() == cards[1]


def test_no_negative_is_a_positive_or_reads_like_one(finished: tuple[RunConfig, Path]) -> None:
    config, _ = finished
    passages = table(config, "corpus", "passages").to_pylist()
    texts = {row["passage_id"]: normalized(passage_text(row["title"], row["text"])) for row in passages}
    positives: dict[str, set[str]] = defaultdict(set)
    for row in table(config, "corpus", "qrels").to_pylist():
        if row["relevance"] > 0:
            positives[row["query_id"]].add(row["passage_id"])
    instances = table(config, "mix", "instances").to_pylist()
    assert len(instances) == 12
    for row in instances:
        gold = positives[row["query_id"]]
        chosen = [normalized(negative["text"]) for negative in row["negatives"]]
        assert not {negative["id"] for negative in row["negatives"]} & gold
        assert not set(chosen) & {texts[passage] for passage in gold}
        assert len(set(chosen)) == len(chosen) > 0
        assert all(chosen)


def test_every_reason_is_on_its_list(finished: tuple[RunConfig, Path]) -> None:
    for stage, name in (("gate", "synthetic"), ("mine", "candidates"), ("mix", "instances")):
        given = table(finished[0], stage, name)["reject_reason"].drop_null().to_pylist()
        assert set(given) <= set(rejection.REASONS[name])


def test_every_request_is_accounted_for(finished: tuple[RunConfig, Path]) -> None:
    rows = table(finished[0], "gate", "synthetic").to_pylist()
    assert len(rows) == len({row["negative_id"] for row in rows}) == 8


def test_the_model_loads_as_sentence_transformers_do(finished: tuple[RunConfig, Path]) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(Path(finished[0].store.root) / "runs" / "tiny" / "model"), device="cpu")
    assert model.encode_query(["one", "two"]).shape == (2, 384)


def test_a_second_run_reuses_everything(finished: tuple[RunConfig, Path]) -> None:
    config, path = finished
    before = report(config)
    done = syneg(str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    after = report(config)
    assert all(stage["reused"] for stage in after["stages"].values())
    assert after["scores"] == before["scores"]
