"""What `syneg evaluate` asks for, what it finds already made, and how models stand."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from syneg import schemas
from syneg.config.run import RunConfig
from syneg.errors import BadInput
from syneg.experiment import evaluation, standings
from syneg.experiment.evaluation import ModelOnCollection
from syneg.pipeline import graph, pipeline
from syneg.pipeline.pipeline import Graph
from syneg.pipeline.run import Run
from syneg.store import manifest, tables
from syneg.store.manifest import Manifest, Part
from tests.unit.corpus.folders import BEIR, write

WITHOUT_TRAIN = {name: content for name, content in BEIR.items() if name != "qrels/train.tsv"}


def model(folder: Path, prompts: str = "{}") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(f'{{"model_type": "bert", "name": "{folder.name}"}}')
    (folder / "config_sentence_transformers.json").write_text(f'{{"prompts": {prompts}}}')
    return folder


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return RunConfig.model_validate(
        {
            "name": "x",
            "store": {"root": str(tmp_path / "out")},
            "corpus": {"path": str(write(tmp_path / "own", BEIR))},
            "encoder": {"model": str(model(tmp_path / "base")), "query_prompt": "q: "},
            "evaluate": {"measures": ["nDCG@10", "MAP"]},
        }
    )


def test_every_model_is_asked_on_every_collection(config: RunConfig, tmp_path: Path) -> None:
    one = model(tmp_path / "a" / "model")
    two = model(tmp_path / "b" / "model", '{"query": "query: ", "document": "passage: "}')
    other = write(tmp_path / "other", WITHOUT_TRAIN)
    asked = evaluation.plan(config, [str(one), str(two)], [str(tmp_path / "own"), str(other)])
    names = ["base", "a-model", "b-model"]
    assert [(each.collection, each.model) for each in asked] == [
        (of, name) for of in ("own", "other") for name in names
    ]
    assert [each.config.corpus.split for each in asked] == ["train"] * 3 + [None] * 3
    assert asked[1].config.encoder.query_prompt == "q: "
    assert (asked[2].config.encoder.query_prompt, asked[2].config.encoder.passage_prompt) == ("query: ", "passage: ")
    assert [len(each.graph.stages) for each in asked] == [4, 3, 3] * 2  # BM25 once a collection
    assert not (tmp_path / "out").exists()


def test_without_a_collection_the_configs_own_is_taken(config: RunConfig) -> None:
    (asked,) = evaluation.plan(config, [], [])
    assert (asked.collection, asked.model, asked.config.corpus) == ("own", "base", config.corpus)
    of_run = {step.stage.name: step.fingerprint for step in pipeline.plan(config)}
    alone = {step.stage.name: step.fingerprint for step in pipeline.plan(asked.config, graph=asked.graph)}
    assert {name: alone[name] for name in ("corpus", "embed")} == {name: of_run[name] for name in ("corpus", "embed")}


@pytest.mark.parametrize(
    ("models", "corpora", "message"),
    [
        (["nowhere"], [], "no model at nowhere"),
        (["base", "./base"], [], "--model ./base is given twice"),
        ([], ["nowhere"], "--corpus: there is no folder nowhere"),
        (
            [],
            ["own/qrels"],
            "--corpus: own/qrels has no corpus.jsonl .* `syneg corpus own/qrels OUT --msmarco`",
        ),
    ],
)
def test_wrong_inputs_are_refused_before_anything_runs(
    config: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    models: list[str],
    corpora: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=message):
        evaluation.plan(config, models, corpora)
    assert not (tmp_path / "out").exists()


def test_vectors_that_a_run_made_with_the_model_it_trained_are_used(config: RunConfig, tmp_path: Path) -> None:
    folder = model(tmp_path / "tuned", '{"query": "q: ", "document": ""}')
    marks = {step.stage.name: step.fingerprint or "" for step in pipeline.plan(config)}
    (asked,) = evaluation.plan(config, [str(folder)], [])[1:]
    assert asked.graph.given == {}
    parts = [
        Part(name=path.name, bytes=path.stat().st_size, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.iterdir()
    ]
    assert manifest.publish(config.store.root, made("train", marks["train"], folders={"model": parts}))
    assert manifest.publish(config.store.root, made("embed_tuned", marks["embed_tuned"]))
    base, asked = evaluation.plan(config, [str(folder)], [])
    assert base.graph.given == {}
    assert asked.graph.given["embed"].fingerprint == marks["embed_tuned"]
    steps = {step.stage.name: step for step in pipeline.plan(asked.config, graph=asked.graph)}
    assert steps["embed"].done
    assert steps["score"].fingerprint is not None


def made(stage: str, mark: str, **content: Any) -> Manifest:
    nothing: dict[str, Any] = {name: {} for name in ("tables", "folders", "rejected", "facts", "settings", "versions")}
    counts = {"rows_in": 0, "rows_out": 0, "seconds": 0.0, "finished": ""}
    return Manifest.model_validate({"stage": stage, "fingerprint": mark, **nothing, **counts, **content})


def scored(config: RunConfig, stage: str, system: str, values: Mapping[str, float]) -> Manifest:
    rows = [
        {"system": system, "measure": measure, "query_id": query, "value": value}
        for measure in config.evaluate.measures
        for query, value in values.items()
    ]
    mark = f"{hash((stage, system)) & 0xFFFFFFFFFFFFFFFF:016x}"
    folder = manifest.output_folder(config.store.root, stage, mark)
    table = pa.Table.from_pylist(rows, schema=schemas.SCORES)
    return made(stage, mark, tables={"scores": tables.write(table, folder, "scores")})


def test_models_are_compared_in_pairs_and_equal_ones_do_not_differ(config: RunConfig) -> None:
    queries = [f"q{number}" for number in range(60)]
    base = {query: (number % 7) / 10 for number, query in enumerate(queries)}
    better = {query: value + 0.2 + (number % 3) / 50 for number, (query, value) in enumerate(base.items())}
    asked = [
        ModelOnCollection("c", name, config, Graph(graph.to_score(bm25=False))) for name in ("base", "copy", "better")
    ]
    finished = [Run(config, {"score": scored(config, "score", "model", values)}) for values in (base, base, better)]
    finished[0] = Run(config, {**finished[0].manifests, "score_bm25": scored(config, "score_bm25", "bm25", base)})
    found = standings.gather(asked, finished)
    standing = found.collections["c"]
    assert list(standing.values) == ["base", "copy", "better", "bm25"]
    pairs = {(one.baseline, one.treated): one for one in standing.comparisons}
    assert list(pairs) == [("base", "copy"), ("base", "better"), ("copy", "better")]
    assert (pairs["base", "copy"].found.p, pairs["base", "copy"].is_shown) == (1, False)
    assert pairs["base", "better"].gain
    assert pairs["copy", "better"].found.difference == pytest.approx(0.2198, abs=1e-3)
    (power,) = found.power()
    assert power.startswith("c: With 60 queries and 3 comparisons a gain has to be about")
    assert found.by_collection()["bm25"] == pytest.approx([sum(base.values()) / 60])
