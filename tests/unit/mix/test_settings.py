"""What no single section can check."""

import pytest

from syneg.config import overrides
from syneg.errors import BadInput

DEMO = "configs/demo.yaml"
RECORDED = "generate.engine={kind: recorded, path: README.md}"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["mix.quotas={random: 1}"], "mix.quotas names random, but mine.samplers has dense, bm25"),
        (["mix.strategy=in_batch_only", "train.in_batch_negatives=false"], "turn train.in_batch_negatives on"),
        (["mix.synthetic_per_instance=0", "mix.retrieved_per_instance=0"], "an instance needs a negative"),
        (["train.distillation={}"], "learns from a cross-encoder's scores: give mine.cross_encoder"),
        (
            ["train.distillation={}", "mine.cross_encoder={model: x}", "mix.strategy=synthetic_only"],
            "no negative with a cross-encoder's score under mix.strategy=synthetic_only",
        ),
        (["judge.enabled=true", RECORDED], r"no LLM that could judge: give judge\.engine"),
        (["judge_mined.enabled=true", RECORDED], r"no LLM that could judge: give judge\.engine"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: list[str], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        overrides.load(DEMO, settings)


def test_an_arm_differs_by_one_setting() -> None:
    for strategy in ("hybrid", "direct", "synthetic_only", "retrieved_only", "in_batch_only"):
        assert overrides.load(DEMO, [f"mix.strategy={strategy}"]).mix.strategy == strategy
