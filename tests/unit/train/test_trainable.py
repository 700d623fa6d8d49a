from pathlib import Path

import pytest
import torch

from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe
from syneg.errors import BadInput
from syneg.settings.train import LoraConfig, TrainConfig
from syneg.train import trainable
from tests.tiny_bert import tiny_bert

torch.set_num_threads(1)
TEXTS = ["a text", "another one"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def encoder(folder: Path) -> Encoder:
    return Encoder.load(folder, Recipe("", "", 16, 32), device="cpu")


def test_the_last_layers_alone_learn(encoder: Encoder) -> None:
    trainable.prepare(encoder, TrainConfig(trained_layers=1))
    names = set(trainable.learning(encoder))
    assert any(".layer.1." in name for name in names)
    assert not any(".layer.0." in name or "embeddings" in name for name in names)


def test_a_model_without_a_head_cannot_train_its_head(encoder: Encoder) -> None:
    with pytest.raises(BadInput, match="nothing with weights there"):
        trainable.prepare(encoder, TrainConfig(trained_layers=0))


def test_lower_layers_learn_more_slowly(encoder: Encoder) -> None:
    groups = trainable.adamw(encoder, TrainConfig(layer_decay=0.5, weight_decay=0.1)).param_groups
    scale_of = {id(weight): group["scale"] for group in groups for weight in group["params"]}
    scales = {name: scale_of[id(weight)] for name, weight in trainable.learning(encoder).items()}
    assert {scale for name, scale in scales.items() if "embeddings" in name} == {0.125}
    assert {scale for name, scale in scales.items() if ".layer.0." in name} == {0.25}
    assert {scale for name, scale in scales.items() if ".layer.1." in name} == {0.5}
    assert {weight.ndim > 1 for group in groups if group["weight_decay"] for weight in group["params"]} == {True}


def test_adapters_start_as_nothing_and_fold_into_the_weights(encoder: Encoder) -> None:
    names, before = set(dict(encoder.named_parameters())), encoder.encode(TEXTS, "query")
    trainable.prepare(encoder, TrainConfig(lora=LoraConfig(rank=4)))
    learning = trainable.learning(encoder)
    assert learning
    assert all("lora_" in name for name in learning)
    assert abs(encoder.encode(TEXTS, "query") - before).max() < 1e-6
    with torch.no_grad():
        for weight in learning.values():
            weight.add_(0.1)
    tuned = encoder.encode(TEXTS, "query")
    assert abs(tuned - before).max() > 1e-3
    trainable.fold_adapters(encoder)
    assert set(dict(encoder.named_parameters())) == names
    assert abs(encoder.encode(TEXTS, "query") - tuned).max() < 1e-5


@pytest.mark.parametrize("targets", [("no_such",), ("query", "no_such")])
def test_adapters_for_layers_that_are_not_there(encoder: Encoder, targets: tuple[str, ...]) -> None:
    message = r"train\.lora\.target_modules holds no_such, .* are dense, key, query, value\."
    with pytest.raises(BadInput, match=message):
        trainable.prepare(encoder, TrainConfig(lora=LoraConfig(target_modules=targets)))


def test_more_layers_than_there_are(encoder: Encoder) -> None:
    trainable.prepare(encoder, TrainConfig(trained_layers=2))
    with pytest.raises(BadInput, match=r"train\.trained_layers is 3, but the model has 2 layers"):
        trainable.prepare(encoder, TrainConfig(trained_layers=3))


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=4)])
def test_gradients_do_not_depend_on_activation_checkpointing(folder: Path, lora: LoraConfig | None) -> None:
    found = []
    for checkpointing in (False, True):
        encoder = Encoder.load(folder, Recipe("", "", 16, 32), device="cpu")
        trainable.prepare(encoder, TrainConfig(activation_checkpointing=checkpointing, lora=lora))
        encoder.train()
        torch.manual_seed(3)
        vectors_ND = encoder(encoder.features(TEXTS, "query"))
        (vectors_ND @ torch.arange(32.0)).sum().backward()
        found.append({name: w.grad for name, w in trainable.learning(encoder).items() if w.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-5)


def test_bfloat16_leaves_weights_and_gradients_in_float32(encoder: Encoder) -> None:
    features, exact = encoder.features(TEXTS, "query"), encoder.encode(TEXTS, "query")
    trainable.prepare(encoder, TrainConfig(dtype="bfloat16"))
    vectors_ND = encoder.eval()(features)
    vectors_ND.float().sum().backward()
    difference = abs(vectors_ND.detach().float().numpy() - exact).max()
    assert 0 < difference < 0.05
    assert {weight.grad.dtype for weight in encoder.parameters() if weight.grad is not None} == {torch.float32}


def test_it_computes_in_bfloat16_on_cuda_alone_unless_told(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    trainable.prepare(encoder, TrainConfig())
    assert encoder.autocast is None
    monkeypatch.setattr(Encoder, "device", torch.device("cuda"))
    trainable.prepare(encoder, TrainConfig(dtype="float32"))
    assert encoder.autocast is None
    trainable.prepare(encoder, TrainConfig())
    assert encoder.autocast is torch.bfloat16


def test_a_snapshot_restores(encoder: Encoder) -> None:
    taken = trainable.snapshot(encoder)
    before = encoder.encode(TEXTS, "query")
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.add_(0.3)
    trainable.restore(encoder, taken)
    assert (encoder.encode(TEXTS, "query") == before).all()
