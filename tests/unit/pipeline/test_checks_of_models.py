"""What a model cannot be trained for is refused before a run starts."""

import pytest

from syneg.errors import BadInput
from syneg.pipeline import pipeline
from tests.unit.pipeline.test_checks import BERT, Made, config  # noqa: F401
from tests.unit.pipeline.test_pipeline import Heard


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.trained_layers=3", r"train\.trained_layers is 3, but the model has 2 layers"),
        ("train.trained_layers=0", r"train\.trained_layers=0 .* nothing with weights there"),
        ("train.lora={target_modules: [q_proj]}", r"train\.lora\.target_modules holds q_proj, .* key, query, value\."),
    ],
)
def test_what_a_model_cannot_train(config: Made, setting: str, message: str) -> None:  # noqa: F811
    """Seen before anything runs, though it takes torch, which a plan does without."""
    config.model({**BERT, "num_hidden_layers": 2, "num_attention_heads": 4})
    given = config(setting, "mix.strategy=retrieved_only")
    pipeline.plan(given)
    with pytest.raises(BadInput, match=message):
        pipeline.run(given, Heard())
    assert config.is_untouched()
    pipeline.run(given, Heard(), last="corpus")
