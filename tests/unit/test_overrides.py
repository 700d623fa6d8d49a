"""From YAML and key=value to a config, and what a mistake is told."""

from pathlib import Path

import pytest

from syneg import overrides
from syneg.errors import BadInput


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.yaml"
    path.write_text("name: x\ncorpus: {source: stdlib}\ntrain: {epochs: 2, learning_rate: 2e-5}\n")
    return str(path)


def test_file_then_arguments(config: str) -> None:
    resolved = overrides.load(config, ["train.epochs=3", "mine.samplers.bm25.window_end=7", "corpus.max_queries=null"])
    assert resolved.train.epochs == 3
    assert resolved.train.learning_rate == 2e-5  # a string in YAML 1.1
    assert resolved.mine.samplers["bm25"].window_end == 7
    assert resolved.corpus.max_queries is None


def test_defaults_are_the_packaged_models(config: str) -> None:
    assert overrides.load(config).encoder.model.startswith("package:")


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("corpus.max_pasages=3", "unknown key corpus.max_pasages; did you mean corpus.max_passages?"),
        ("trian.epochs=3", "unknown key trian; did you mean train?"),
        ("generate.engine.modle=x", "did you mean generate.engine.model?"),
        ("mine.samplers.dense.windw_end=3", "did you mean mine.samplers.dense.window_end?"),
        ("mine.samplers.dens.window_end=3", "mine.samplers.dens"),
        ("train.zzz=1", "expected one of"),
        ("train.epochs=two", "train.epochs: Input should be a valid integer"),
        ("train.epochs=1.5", "train.epochs: Input should be a valid integer"),
        ("train.epochs=0", "train.epochs: Input should be greater than 0; seen 0"),
        ("mix.synthetic_per_instance=[1]", "mix.synthetic_per_instance"),
        ("corpus.source=web", "corpus.source"),
        ("corpus.source=beir", "corpus.path is missing"),
        ("corpus.test_split=train", "must differ"),
        ("train.epochs", "expected section.key=value"),
        ("name.first=x", "name is not a section"),
        ("name=../x", "name"),
        ("train={", "no valid YAML"),
    ],
)
def test_a_mistake_gets_one_clear_line(config: str, argument: str, expected: str) -> None:
    with pytest.raises(BadInput) as caught:
        overrides.load(config, [argument])
    assert expected in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("name: [", "config.yaml:"),
        ("- a", "expected a mapping"),
        ("", "expected a mapping"),
        ("name: x", "corpus is missing"),
    ],
)
def test_a_broken_file(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(content)
    with pytest.raises(BadInput, match=expected):
        overrides.load(str(path))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        overrides.load(str(tmp_path / "none.yaml"))
