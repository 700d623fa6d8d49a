"""Which weights are below and above an architecture's layers, and what its models cannot do."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, T5EncoderModel

from syneg.encoder.encoder import Encoder
from syneg.encoder.outline import Outline
from syneg.encoder.recipe import Recipe
from syneg.errors import BadInput
from syneg.settings.encoder import EncoderConfig
from syneg.settings.train import TrainConfig
from syneg.train import trainable
from tests.tiny_bert import tiny_bert

torch.set_num_threads(1)
BERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
KINDS: dict[str, dict[str, Any]] = {
    "bert": BERT,
    "mpnet": BERT,
    "albert": BERT | {"embedding_size": 16},
    "modernbert": BERT | {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2},
    "qwen3": BERT | {"num_key_value_heads": 2, "head_dim": 8},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "t5": {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4},
}


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A model of the kind that a test names, with a tokeniser by letters."""
    folder = tiny_bert(tmp_path / "model")
    for name in ("modules.json", "sentence_bert_config.json"):
        (folder / name).unlink()
    config: Any = AutoConfig.for_model(request.param, vocab_size=80, **KINDS[request.param])
    model: Any = T5EncoderModel(config) if request.param == "t5" else AutoModel.from_config(config)
    model.save_pretrained(folder)
    return folder


def _outline(folder: Path) -> Outline:
    outline = Outline.read(str(folder))
    assert outline is not None
    return outline


def _inside(name: str) -> str:
    """A weight's name within the transformer."""
    return name.split(".", 3)[3]


@pytest.mark.parametrize("place", KINDS, indirect=True)
def test_an_outline_has_the_weights_of_the_model_itself(place: Path) -> None:
    encoder, outline = Encoder.load(place, Recipe("", "", 16, 32), device="cpu"), _outline(place)
    found, expected = (
        {_inside(name): weight.shape for name, weight in each.named_parameters()} for each in (outline, encoder)
    )
    assert found == expected
    assert all(weight.is_meta for weight in outline.parameters())


@pytest.mark.parametrize(
    ("place", "below", "behind"),
    [
        ("bert", {"embeddings"}, {"pooler.dense"}),
        ("mpnet", {"embeddings", "encoder.relative_attention_bias"}, {"pooler.dense"}),
        ("modernbert", {"embeddings"}, {"final_norm"}),
        ("qwen3", {"embed_tokens"}, {"norm"}),
        ("distilbert", {"embeddings"}, set()),
        ("t5", {"shared"}, {"encoder.final_layer_norm"}),
    ],
    indirect=["place"],
)
def test_what_feeds_the_layers_is_below_and_norms_and_poolers_are_behind(
    place: Path, below: set[str], behind: set[str]
) -> None:
    outline = _outline(place)
    groups = trainable.adamw(outline, TrainConfig(layer_decay=0.5)).param_groups
    scale_of = {id(weight): group["scale"] for group in groups for weight in group["params"]}
    scales = {_inside(name): scale_of[id(weight)] for name, weight in outline.named_parameters()}
    lowest = {name for name, scale in scales.items() if scale == 0.125}
    highest = {name for name, scale in scales.items() if scale == 1.0}
    assert lowest == {name for name in scales if name.startswith(tuple(below))}
    assert {name.rpartition(".")[0] for name in highest} == behind
    assert len(lowest) >= len(below)

    trainable._arrange(outline, TrainConfig(trained_layers=1))
    learning = {_inside(name) for name in trainable.learning(outline)}
    assert learning == {name for name, scale in scales.items() if scale >= 0.5}
    assert any(scale == 0.5 for scale in scales.values())


@pytest.mark.parametrize(
    ("place", "settings", "message"),
    [
        ("albert", {"trained_layers": 1}, r"train\.trained_layers=1 goes by .* share a single set of weights"),
        ("albert", {"layer_decay": 0.5}, r"train\.layer_decay=0\.5 goes by .* share a single set of weights"),
        ("albert", {"activation_checkpointing": True}, r"train\.activation_checkpointing: AlbertModel does not"),
        ("mpnet", {"activation_checkpointing": True}, r"train\.activation_checkpointing: MPNetModel does not"),
        ("mpnet", {"lora": {"target_modules": ["query"]}}, r"target_modules holds query, .* are dense, k, o, q, v\."),
        ("bert", {"trained_layers": 3}, r"train\.trained_layers is 3, but the model has 2 layers"),
        ("bert", {"trained_layers": 0}, "nothing with weights there. Give 1 to 2"),
    ],
    indirect=["place"],
)
def test_what_a_model_cannot_do_is_seen_without_its_weights(place: Path, settings: dict, message: str) -> None:
    train = TrainConfig.model_validate(settings)
    with pytest.raises(BadInput, match=message):
        trainable.prepare(Encoder.load(place, Recipe("", "", 16, 32), device="cpu"), train)
    for weights in place.glob("*.safetensors"):
        weights.unlink()
    with pytest.raises(BadInput, match=message):
        trainable.check(EncoderConfig(model=str(place)), train)


@pytest.mark.parametrize("place", ["bert", "mpnet"], indirect=True)
@pytest.mark.parametrize("settings", [{"trained_layers": 2}, {"layer_decay": 0.5}, {"lora": {}}])
def test_what_a_model_can_do_is_let_pass(place: Path, settings: dict) -> None:
    trainable.check(EncoderConfig(model=str(place)), TrainConfig.model_validate(settings))


def test_a_module_with_weights_behind_the_transformer_can_be_trained_alone(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense

    folder = tiny_bert(tmp_path / "model")
    model = SentenceTransformer(str(folder), device="cpu")
    model.append(Dense(32, 24))
    model.save(str(folder), create_model_card=False)
    trainable.check(EncoderConfig(model=str(folder)), TrainConfig(trained_layers=0))
