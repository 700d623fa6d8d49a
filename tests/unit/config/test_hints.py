"""What is said of a key that there is not: the right one, wherever it stands, or no hint at all."""

from pathlib import Path

import pytest

from syneg.config import hints, overrides
from syneg.config.run import RunConfig
from syneg.errors import BadInput
from syneg.experiment import grid
from syneg.settings.section import sections_in


def refusal(*changes: str) -> str:
    with pytest.raises(BadInput) as caught:
        overrides.load("configs/demo.yaml", changes)
    return str(caught.value).partition("; ")[2]


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("generate.model", "generate.engine.model"),
        ("temperature", "generate.temperature, adore.temperature, train.temperature, ..."),
        ("mine.window_end", "mine.samplers.NAME.window_end"),
        ("resources.gpus", "resources.generate.gpus, resources.encode.gpus, resources.mine.gpus, ..."),
        ("generate.gpus", "resources.generate.gpus"),
        ("dev.every", "train.dev"),
        ("lora.rank", "train.lora"),
        ("training.learning_rate", "adore.learning_rate or train.learning_rate"),
    ],
)
def test_the_same_name_elsewhere_comes_first(key: str, meant: str) -> None:
    assert refusal(f"{key}=1") == f"did you mean {meant}?"


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("train.lr", "train.learning_rate"),
        ("lr", "train.learning_rate or adore.learning_rate"),
        ("train.gradient_checkpointing", "train.activation_checkpointing"),
        ("train.per_device_train_batch_size", "train.batch_size"),
        ("train.num_train_epochs", "train.epochs"),
        ("train.save_steps", "resources.train.checkpoint_steps"),
        ("train.max_length", "train.passage_max_length"),
        ("encoder.max_seq_length", "encoder.passage_max_length"),
        ("generate.model_name", "generate.engine.model"),
        ("llm", "generate.engine.model"),
        ("encoder.pooling_mode", "encoder.pooling"),
    ],
)
def test_names_that_people_know_from_other_tools(key: str, meant: str) -> None:
    assert refusal(f"{key}=1") == f"did you mean {meant}?"


def test_every_alias_leads_to_a_key_that_there_is_and_is_none_itself() -> None:
    known = hints._keys_of(RunConfig)
    names = {key.rpartition(".")[2] for key in known} - {"max_length"}  # of the cross-encoder, too
    assert not names & hints.ALIASES.keys()
    for keys in hints.ALIASES.values():
        for key in keys:
            assert key in known or "generate.engine.engine_kwargs" in key, key


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("corpus.max_pasages", "corpus.max_passages"),
        ("trian.epochs", "train"),
        ("judge.engine.modle", "judge.engine.model"),
        ("train.lora.rnk", "train.lora.rank"),
    ],
)
def test_a_slip_is_looked_for_in_its_own_section(key: str, meant: str) -> None:
    assert refusal(f"{key}=1") == f"did you mean {meant}?"


def test_without_a_hint_a_short_section_is_listed_and_a_long_one_named() -> None:
    assert refusal("gate.zzz=1") == "its section's keys stand in syneg/settings/generate.py."
    assert refusal("probe.zzz=1") == "expected one of sample, folds, warn_above, seed."
    assert refusal("zzz=1").startswith("expected one of name, store, storage, corpus,")


def test_a_key_of_another_kind_says_so() -> None:
    expected = "it belongs to kind openai: give generate.engine.kind=openai as well."
    assert refusal("generate.engine.base_url=https://host") == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "train.epochs: 2",
            "unknown key train.epochs; nest it, as `train: {epochs: ...}`: in a file a dot joins no names.",
        ),
        ("mine.samplers.bm25.window_end: 9", "nest it, as `mine: {samplers: {bm25: {window_end: ...}}}`"),
        ("mine: {ivf.lists: 3}", "unknown key mine.ivf.lists; nest it, as `mine.ivf: {lists: ...}`"),
    ],
)
def test_a_dotted_key_in_a_file_is_to_be_nested(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"name: x\ncorpus: {{source: stdlib}}\n{content}\n")
    with pytest.raises(BadInput) as caught:
        overrides.load(str(path))
    assert expected in str(caught.value)


def test_a_dotted_key_of_an_experiment_has_a_place_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text("name: x\nbase: configs/demo.yaml\narms: {a: {}}\ntrain.epochs: 2\n")
    with pytest.raises(BadInput, match=r"stands under `settings:`, as train\.epochs"):
        grid.load(str(path))


def test_sections_are_found_through_unions_and_annotations() -> None:
    engine = sections_in(RunConfig.model_fields["generate"].annotation)[0].model_fields["engine"]
    assert [section.__name__ for section in sections_in(engine.annotation)] == [
        "VllmEngine",
        "OpenaiEngine",
        "RecordedEngine",
    ]
