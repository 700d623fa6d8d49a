"""From YAML and key=value to a config, and what a mistake is told."""

from pathlib import Path

import pytest

from syneg.config import overrides
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


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("query: ", "query: "),
        ("Represent this sentence: ", "Represent this sentence: "),
        ("find ", "find "),
        ("2024", "2024"),
        ("yes", "yes"),
        ("[a", "[a"),
        ("@find # this", "@find # this"),
        ("'query: '", "query: "),
        ('"Instruct: find\\nQuery:"', "Instruct: find\nQuery:"),
        ('""', ""),
        ("null", None),
        ("", None),
    ],
)
def test_a_text_is_taken_as_it_stands_unless_it_is_quoted(config: str, given: str, expected: str | None) -> None:
    assert overrides.load(config, [f"encoder.query_prompt={given}"]).encoder.query_prompt == expected


def test_what_is_a_text_in_every_kind_of_section_is_taken_as_it_stands(config: str) -> None:
    openai = ["generate.engine.kind=openai", "generate.engine.model=2024", "generate.engine.api_key_env=KEY"]
    resolved = overrides.load(config, ["name=2024", *openai, "generate.attributes=false", "corpus.max_queries=3"])
    assert (resolved.name, resolved.generate.engine.model_dump()["model"]) == ("2024", "2024")
    assert (resolved.generate.attributes, resolved.corpus.max_queries) == (False, 3)  # which take other things, too


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
        ("probe.zzz=1", "unknown key probe.zzz; expected one of sample, folds, warn_above, seed."),
        ("train.zzz=1", "unknown key train.zzz; its section's keys stand in syneg/settings/train.py."),
        ("train.epochs=two", "train.epochs: expected a whole number; seen 'two'."),
        ("train.epochs=1.5", "train.epochs: expected a whole number; seen 1.5."),
        ("train.epochs=0", "train.epochs: expected a number above 0; seen 0."),
        ("mix.synthetic_per_instance=[1]", "mix.synthetic_per_instance"),
        ("corpus.source=web", "corpus.source"),
        ("corpus.source=beir", "corpus.path is missing"),
        ("corpus.test_split=train", "must differ"),
        ("train.epochs", "expected section.key=value"),
        ("name.first=x", "name is not a section"),
        ("name=../x", "name"),
        ("train={", "no valid YAML"),
        ("train={epochs: 1, epochs: 2}", "the key epochs stands twice"),
        ("train.epochs=2024-99-99", "no valid YAML (month must be in 1..12)"),
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
        ("- a", "expected a mapping of sections .* seen a list"),
        ("", "expected a mapping of sections .* seen nothing: it is empty"),
        ("x", "expected a mapping of sections .* seen a single value"),
        ("name: x", "corpus is missing"),
    ],
)
def test_a_broken_file(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(content)
    with pytest.raises(BadInput, match=expected):
        overrides.load(str(path))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("name: x\nname: y\n", ":2: the key name stands twice in one mapping, first on line 1."),
        ("name: x\ntrain: {epochs: 1}\ncorpus: {source: stdlib}\ntrain: {seed: 1}\n", ":4: the key train stands twice"),
        ("name: x\ntrain:\n  epochs: 1\n  seed: 0\n  epochs: 2\n", ":5: the key epochs stands twice .* line 3"),
        ("name: x\nmine:\n  samplers:\n  - {a: 1, 'a': 2}\n", ":4: the key a stands twice"),
    ],
)
def test_a_key_that_stands_twice_is_refused_by_its_line(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(content)
    with pytest.raises(BadInput, match=f"config.yaml{expected}") as caught:
        overrides.load(str(path))
    assert "leave one of them" in str(caught.value)


def test_what_an_anchor_brings_in_may_be_given_again(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "name: x\ncorpus: {source: stdlib}\n"
        "mine:\n  samplers:\n    dense: &all {window_start: 5, window_end: 40}\n"
        "    bm25: &some\n      <<: *all\n      window_end: 30\n"
        "    simans:\n      <<: *some\n      window_start: 6\n"
    )
    samplers = overrides.load(str(path)).mine.samplers
    windows = {name: (sampler.window_start, sampler.window_end) for name, sampler in samplers.items()}
    assert windows == {"dense": (5, 40), "bm25": (5, 30), "simans": (6, 30)}


def test_a_section_that_a_file_leaves_empty_takes_arguments(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("name: x\ncorpus: {source: stdlib}\ntrain:\n")
    assert overrides.load(str(path), ["train.epochs=3"]).train.epochs == 3


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        overrides.load(str(tmp_path / "none.yaml"))


def test_a_change_of_one_sampler_leaves_the_others(tmp_path: Path) -> None:
    """The default is dense with a margin, and bm25."""
    path = tmp_path / "config.yaml"
    path.write_text("name: x\ncorpus: {source: stdlib}\n")

    def samplers(*changes: str) -> dict[str, tuple[int, float | None]]:
        found = overrides.load(str(path), changes).mine.samplers
        return {name: (sampler.window_end, sampler.relative_margin) for name, sampler in found.items()}

    assert samplers("mine.samplers.dense.window_end=20") == {"dense": (20, 0.05), "bm25": (100, None)}
    assert samplers("mine.samplers.simans={}") == {"dense": (100, 0.05), "bm25": (100, None), "simans": (100, None)}
    assert samplers("mine.samplers.bm25=") == {"dense": (100, 0.05)}
    assert samplers("mine.samplers={bm25: {}}", "mine.samplers.bm25.window_end=7") == {"bm25": (7, None)}
