"""What a section refuses by itself, and what it makes of an address."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from syneg.mix.compose import wanted
from syneg.settings.adore import AdoreConfig
from syneg.settings.corpus import CorpusConfig
from syneg.settings.encoder import EncoderConfig
from syneg.settings.evaluate import EvaluateConfig
from syneg.settings.generate import GenerateConfig, RecordedEngine
from syneg.settings.mine import Bm25Config, CrossEncoderConfig, IvfConfig, MineConfig, SamplerConfig, SimansConfig
from syneg.settings.mix import MixConfig
from syneg.settings.probe import ProbeConfig
from syneg.settings.resources import TrainResources
from syneg.settings.section import Section
from syneg.settings.store import StoreConfig
from syneg.settings.train import DevConfig, DistillationConfig, LoraConfig, TrainConfig

SECTIONS = (
    *(AdoreConfig, CorpusConfig, EvaluateConfig, Bm25Config, CrossEncoderConfig, IvfConfig, MineConfig, SamplerConfig),
    *(SimansConfig, MixConfig, ProbeConfig, DevConfig, DistillationConfig, LoraConfig, TrainConfig),
)
NEEDED: dict[type[Section], dict[str, Any]] = {CorpusConfig: {"source": "stdlib"}, CrossEncoderConfig: {"model": "m"}}
FLOATS = [
    (section, name)
    for section in SECTIONS
    for name, field in section.model_fields.items()
    if field.annotation in (float, float | None)
]


@pytest.mark.parametrize("section", [section for section in SECTIONS if "seed" in section.model_fields])
def test_a_seed_below_zero_is_refused(section: type[Section]) -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        section.model_validate(NEEDED.get(section, {}) | {"seed": -1})


@pytest.mark.parametrize(("section", "name"), FLOATS)
@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_what_is_no_finite_number_is_refused(section: type[Section], name: str, value: float) -> None:
    with pytest.raises(ValidationError) as caught:
        section.model_validate(NEEDED.get(section, {}) | {name: value})
    assert caught.value.errors()[0]["loc"] == (name,)


def test_there_are_numbers_and_seeds_to_look_at() -> None:
    assert {(TrainConfig, "temperature"), (SamplerConfig, "min_score")} <= set(FLOATS)
    assert len(FLOATS) > 20
    assert sum("seed" in section.model_fields for section in SECTIONS) == 8


def test_merge_weights_are_numbers() -> None:
    with pytest.raises(ValidationError):
        DevConfig.model_validate({"every": 1, "merge_weights": (float("nan"),)})


def test_a_collection_may_have_no_dev_split() -> None:
    without = CorpusConfig(source="stdlib", dev_split=None)
    assert without.dev_split is None
    with pytest.raises(ValidationError, match="must differ"):
        CorpusConfig(source="stdlib", dev_split=None, test_split="train")


@pytest.mark.parametrize(
    ("settings", "synthetic", "most_retrieved"),
    [
        ({}, True, 2),
        ({"synthetic_share": 0.5}, True, 3),  # some instances carry none, and take retrieved ones in their place
        ({"synthetic_share": 0.0}, False, 3),
        ({"synthetic_per_instance": 0}, False, 2),
        ({"retrieved_per_instance": 0}, True, 0),
        ({"strategy": "direct"}, True, 3),
        ({"strategy": "direct", "synthetic_share": 0.0}, False, 3),
        ({"strategy": "direct", "synthetic_per_instance": 0}, False, 2),
        ({"strategy": "direct", "retrieved_per_instance": 0}, True, 0),
        ({"strategy": "direct", "retrieved_per_instance": 0, "synthetic_share": 0.5}, True, 1),
        ({"strategy": "synthetic_only"}, True, 0),
        ({"strategy": "synthetic_only", "synthetic_per_instance": 0}, True, 0),
        ({"strategy": "synthetic_only", "synthetic_share": 0.0}, True, 0),
        ({"strategy": "retrieved_only"}, False, 3),
        ({"strategy": "in_batch_only"}, False, 0),
    ],
)
def test_what_a_mix_takes(settings: dict[str, Any], synthetic: bool, most_retrieved: int) -> None:
    mix = MixConfig.model_validate(settings)
    assert (mix.takes_synthetic, mix.most_retrieved(written=9)) == (synthetic, most_retrieved)
    asked = [wanted(mix, f"q{number}", "p", written=9) for number in range(200)]
    assert any(each.synthetic for each in asked) == synthetic
    assert max(each.retrieved for each in asked) == most_retrieved
    assert max((0 if each.replaceable else each.synthetic) for each in asked) == mix.least_synthetic
    assert mix.takes_retrieved == (mix.strategy not in ("synthetic_only", "in_batch_only"))


ADDRESSES = [
    (StoreConfig, {}, "root"),
    (CorpusConfig, {"source": "beir"}, "path"),
    (EncoderConfig, {}, "model"),
    (GenerateConfig, {}, "attributes"),
    (RecordedEngine, {"kind": "recorded"}, "path"),
    (TrainResources, {}, "tensorboard_folder"),
]


@pytest.mark.parametrize(("section", "needed", "name"), ADDRESSES)
def test_the_home_folder_is_meant_by_a_tilde_wherever_an_address_stands(
    section: type[Section], needed: dict[str, Any], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for given, meant in (("~/x", f"{tmp_path}/x"), ("out/~/x", "out/~/x"), ("s3://bucket/~/x", "s3://bucket/~/x")):
        assert getattr(section.model_validate(needed | {name: given}), name) == meant


def test_a_home_folder_that_is_not_known_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as without HOME, for a user whom no file knows
    with pytest.raises(ValidationError, match=r"HOME is not set\. Give a full path"):
        StoreConfig(root="~/x")
