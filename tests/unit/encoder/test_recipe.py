"""Prompts: the config's, or else those that the model's folder states; the same for every stage."""

from pathlib import Path

import pytest

from syneg.config.run import RunConfig
from syneg.encoder import recipe
from syneg.encoder.recipe import Recipe
from syneg.errors import BadInput
from syneg.pipeline import execution, fingerprint, graph, pipeline
from syneg.pipeline.run import Run
from syneg.settings.encoder import EncoderConfig
from syneg.store import files
from tests.unit import stored_run
from tests.unit.encoder.test_architecture import MODULES, folder

BERT = {"model_type": "bert", "hidden_size": 16, "max_position_embeddings": 256}
STATED = {"prompts": {"query": "query: ", "document": "passage: "}}
PROMPTS = {"query_prompt": "query: ", "passage_prompt": "passage: "}


def model(place: Path, stated: object = STATED) -> str:
    return folder(place, {"config.json": BERT, "config_sentence_transformers.json": stated})


def run_of(place: Path, **encoder: str) -> RunConfig:
    own = {"name": "x", "corpus": {"source": "stdlib"}, "store": {"root": str(place / "out")}}
    return RunConfig.model_validate(own | {"encoder": {"model": model(place / "model"), **encoder}})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("query: ", "passage: ")),
        ({"query_prompt": "find: "}, ("find: ", "passage: ")),
        ({"query_prompt": "", "passage_prompt": ""}, ("", "")),
    ],
)
def test_what_the_config_leaves_open_the_folder_states(tmp_path: Path, given: dict, expected: tuple[str, str]) -> None:
    known = recipe.resolved(EncoderConfig(model=model(tmp_path), **given))
    assert (known.query_prompt, known.passage_prompt) == expected
    assert recipe.resolved(known) is known
    of_config = Recipe.of(EncoderConfig(model=model(tmp_path), **given))
    assert (of_config.prompt("query"), of_config.prompt("passage")) == expected


def test_the_packaged_model_states_none() -> None:
    assert Recipe.of(EncoderConfig()) == Recipe("", "", 64, 256)
    assert Recipe.of(EncoderConfig(pooling="cls")).pooling == "cls"


def test_in_object_storage_nothing_else_is_read(s3_root: str) -> None:
    files.put(f"{s3_root}/model/config_sentence_transformers.json", b'{"prompts": {"query": "q: "}}')
    assert recipe.resolved(EncoderConfig(model=f"{s3_root}/model/")).query_prompt == "q: "


def test_every_stage_gets_the_prompts_and_its_fingerprint_has_them(tmp_path: Path) -> None:
    left_open, given, without = run_of(tmp_path), run_of(tmp_path, **PROMPTS), run_of(tmp_path, query_prompt="")
    asked = [stage for stage in graph.stages(left_open) if "encoder" in stage.sections]
    assert {stage.name for stage in asked} == {"gate", "embed", "probe", "train", "embed_tuned"}
    for stage in asked:
        assert execution.sections(left_open, stage)["encoder"] == given.encoder
    marks = [{step.stage.name: step.fingerprint for step in pipeline.look(one)} for one in (left_open, given, without)]
    assert marks[0] == marks[1]
    assert all(marks[0][stage.name] != marks[2][stage.name] for stage in asked)


def test_a_finished_run_knows_its_prompts_without_its_base_model(tmp_path: Path) -> None:
    config = run_of(tmp_path)
    stored_run.write(tmp_path / "out", config, {}, last="embed")
    steps = pipeline.look(config)
    finished = Run(config, {step.stage.name: step.manifest for step in steps if step.manifest})
    for path in (tmp_path / "model").iterdir():
        path.unlink()
    assert finished.encoder.model_dump() == config.encoder.model_dump() | PROMPTS
    with pytest.raises(BadInput, match="no model"):
        _ = Run(config, {}).encoder


def test_a_prompt_that_the_folder_states_is_part_of_what_made_a_vector(tmp_path: Path) -> None:
    stated = recipe.resolved(EncoderConfig(model=model(tmp_path / "a")))
    other = recipe.resolved(EncoderConfig(model=model(tmp_path / "b"), query_prompt="find: "))
    assert recipe.identity(stated, stated.model) != recipe.identity(other, other.model)
    sections = [{"encoder": each} for each in (stated, other)]
    assert len({fingerprint.of_stage("embed", 1, each, {}) for each in sections}) == 2


def test_another_model_goes_by_its_own_folder_before_the_config(tmp_path: Path) -> None:
    config = EncoderConfig(model=model(tmp_path / "base"), query_prompt="find: ", pooling="cls")
    of_its_own = recipe.for_model(config, model(tmp_path / "a"))
    assert (of_its_own.query_prompt, of_its_own.passage_prompt, of_its_own.pooling) == ("query: ", "passage: ", "cls")
    silent = folder(tmp_path / "b", {"modules.json": MODULES})
    told = recipe.for_model(config, silent)
    assert (told.query_prompt, told.passage_prompt, told.pooling) == ("find: ", "", None)
    with pytest.raises(BadInput, match="--model: no model at"):
        recipe.for_model(config, str(tmp_path / "nowhere"))


def test_how_to_pool_is_known_before_a_run(tmp_path: Path) -> None:
    config = run_of(tmp_path)
    pipeline.plan(config)
    folder(tmp_path / "model", {"config.json": BERT | {"model_type": "qwen3"}})
    with pytest.raises(BadInput, match=r"encoder\.pooling is missing: .* Give encoder\.pooling=lasttoken"):
        pipeline.plan(config)
    told = config.model_copy(update={"encoder": config.encoder.model_copy(update={"pooling": "lasttoken"})})
    pipeline.plan(told)
    folder(tmp_path / "model", {"modules.json": [{"path": "", "type": "sentence_transformers.models.Transformer"}]})
    pipeline.plan(config)
    with pytest.raises(BadInput, match=r"encoder\.pooling is lasttoken, but .* states its own"):
        pipeline.plan(told)
