"""Mistakes are told in the words of a config's author, with the key in front, a line each."""

from pathlib import Path

import pytest

from syneg.config import overrides
from syneg.errors import BadInput

DEMO = "configs/demo.yaml"


def refusal(change: str) -> str:
    with pytest.raises(BadInput) as caught:
        overrides.load(DEMO, [change])
    return str(caught.value).removeprefix(f"{DEMO}: ")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            "mine.samplers.bm52.window_end=3",
            "mine.samplers.bm52: 'bm52' may not stand here; did you mean bm25? expected 'random', 'bm25', 'dense', "
            "'ance', 'simans' or 'adore'.",
        ),
        (
            "generate.engine.kind=openi",
            "generate.engine.kind: did you mean openai? expected one of vllm, openai, recorded; seen 'openi'.",
        ),
        ("judge.engine.kind=recorded", "judge.engine.kind: expected one of vllm, openai; seen 'recorded'."),
        (
            "generate.engine.kind=null",
            "generate.engine.kind: expected one of vllm, openai, recorded; seen nothing (null).",
        ),
        (
            "generate.engine=gpt",
            "generate.engine: expected a mapping of its settings (kind, model, engine_kwargs, ...); seen 'gpt'.",
        ),
        (
            "mine.simans=null",
            "mine.simans: expected a mapping of its settings (a, b); seen nothing (null). Write {} for the defaults.",
        ),
        (
            "mine.cross_encoder=7",
            "mine.cross_encoder: expected a mapping of its settings (model, max_length, relative_margin, ...); seen 7.",
        ),
        ("mine.samplers=[bm25]", "mine.samplers: expected a mapping, key: value; seen ['bm25']."),
        ("evaluate.measures=MAP", "evaluate.measures: expected a list, [a, b, ...]; seen 'MAP'."),
        ("evaluate.measures=[]", "evaluate.measures: expected 1 or more entries; seen []."),
        ("train.dev.merge_weights=[2]", "train.dev.merge_weights.0: expected 1 or less; seen 2."),
        ("train.in_batch_negatives=1", "train.in_batch_negatives: expected true or false; seen 1."),
        ("train.dtype=bfloat", "train.dtype: did you mean bfloat16? expected 'float32' or 'bfloat16'; seen 'bfloat'."),
        ("store.root=null", "store.root: expected a text; seen nothing (null)."),
        ("name=a b", "name: expected letters, digits, '.', '_' and '-', a letter or digit first; seen 'a b'."),
        (
            "corpus=null",
            "corpus: expected a mapping of its settings (source, path, split, ...); seen nothing (null). "
            "Write {} for the defaults.",
        ),
    ],
)
def test_no_word_of_pydantics(change: str, expected: str) -> None:
    assert refusal(change) == expected


@pytest.mark.parametrize(
    ("value", "seen"),
    [("2024", "2024, which YAML takes for a number"), ("2024-01-31", "2024-01-31, which YAML takes for a date")],
)
def test_a_text_that_yaml_takes_for_something_else_is_to_be_quoted(value: str, seen: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"name: {value}\ncorpus: {{source: stdlib}}\nencoder: {{query_prompt: on}}\n")
    with pytest.raises(BadInput) as caught:
        overrides.load(str(path))
    name, prompt = str(caught.value).splitlines()
    assert name == f'{path}: name: expected a text; seen {seen}: quote it, name: "{value}".'
    assert prompt.endswith("yes, no, on and off too: quote it.")
    assert overrides.load(DEMO, [f"name={value}"]).name == value  # an argument needs no quotes


def test_the_members_of_a_union_are_told_in_one_line() -> None:
    assert refusal("generate.attributes=[a]") == "generate.attributes: expected false or a text; seen ['a']."


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            "mine.samplers.simans={window_start: 100, window_end: 50}",
            "mine.samplers.simans: window_end 50 must be above window_start 100.",
        ),
        ("resources.train={min_workers: 2}", "resources.train: max_workers 1 is below min_workers 2."),
        ("train.zero_stage=3", "train.zero_stage: stage 3 shares out the weights"),
        ("corpus.test_split=train", "corpus.split, corpus.dev_split and corpus.test_split must differ"),
        ("mix.quotas.ance=1", "mix.quotas names ance"),
    ],
)
def test_what_a_section_finds_has_its_key_in_front_once(change: str, expected: str) -> None:
    assert refusal(change).startswith(expected)


def test_every_mistake_has_its_line() -> None:
    with pytest.raises(BadInput) as caught:
        overrides.load(DEMO, ["train.epochs=0", "train.lr=1", "mine.samplers.bm25.window_end=x"])
    assert len(str(caught.value).splitlines()) == 3
    assert all(line.startswith(f"{DEMO}: ") for line in str(caught.value).splitlines())


def test_a_long_value_is_cut() -> None:
    assert len(refusal(f"train.epochs={'x' * 5000}")) < 200


@pytest.mark.parametrize("address", ["s3://", "s3:///x", "s3:/bucket/x", "gs://bucket/x"])
@pytest.mark.parametrize(
    "key",
    [
        "store.root",
        "corpus.path",
        "encoder.model",
        "generate.engine.model",
        "generate.prompt",
        "generate.attributes",
        "mix.review",
    ],
)
def test_half_an_address_is_refused_by_its_setting(key: str, address: str) -> None:
    message = refusal(f"{key}={address}")
    assert message.startswith(f"{key}: {address!r} is no address")
    assert "expected s3://bucket/prefix" in message


def test_whole_addresses_are_taken() -> None:
    config = overrides.load(DEMO, ["store.root=s3://bucket", "generate.prompt=s3://bucket/a", "encoder.model=./s3:/x"])
    assert (config.store.root, config.generate.prompt, config.encoder.model) == (
        "s3://bucket",
        "s3://bucket/a",
        "./s3:/x",
    )


def test_the_keys_of_a_section_are_listed_once() -> None:
    with pytest.raises(BadInput) as caught:
        overrides.load(DEMO, ["foo=1", "bar=2", "store.baz=3"])
    first, second, third = str(caught.value).splitlines()
    listed = "; expected one of "
    assert sorted([(listed in line) for line in (first, second, third)]) == [False, True, True]
    assert "unknown key store.baz; expected one of root" in str(caught.value)
