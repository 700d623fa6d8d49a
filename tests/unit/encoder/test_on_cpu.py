"""Layers that write over what they were given, and whose products oneDNN or MKL makes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from syneg.encoder import on_cpu
from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe
from tests.tiny_bert import tiny_bert

RECIPE = Recipe("", "", 16, 16)
TEXTS = ["red fox", "blue whales sing at night"]


@pytest.fixture(params=[True, False], ids=["oneDNN", "MKL"], autouse=True)
def by_onednn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(on_cpu, "_mkl_is_slow", lambda: request.param)
    return request.param


def loaded(folder: Path) -> tuple[Encoder, Any]:
    encoder = Encoder.load(tiny_bert(folder), RECIPE, device="cpu").eval()
    transformer: Any = encoder.model[0]
    return encoder, transformer.auto_model.encoder.layer[0]


def test_onednn_multiplies_where_mkl_is_slow(tmp_path: Path, by_onednn: bool) -> None:
    encoder, _ = loaded(tmp_path)
    features = encoder.features(TEXTS, "passage")
    with torch.profiler.profile() as inference, torch.inference_mode():
        encoder(features)
    with torch.profiler.profile() as training:
        encoder(features)
    seen = [any("mkldnn" in event.key for event in run.key_averages()) for run in (inference, training)]
    assert seen == [by_onednn, False]


def test_only_inference_loses_what_was_given(tmp_path: Path) -> None:
    _, layer = loaded(tmp_path)
    given, inner = torch.randn(2, 5, 32), torch.randn(2, 5, layer.output.dense.in_features)
    kept = given.clone()
    with torch.no_grad():  # a gradient may be asked for after this pass: of cached ones it is
        expected = layer.output(inner, given)
    torch.testing.assert_close(given, kept)
    with torch.inference_mode():
        made = layer.output(inner, given)
    assert not torch.equal(given, kept)
    torch.testing.assert_close(made, expected)


def test_the_gelu_takes_no_memory_of_its_own(tmp_path: Path) -> None:
    _, layer = loaded(tmp_path)
    products = list[torch.Tensor]()
    layer.intermediate.dense.register_forward_hook(lambda _module, _given, made: products.append(made))
    given = torch.randn(2, 5, 32)
    with torch.no_grad():
        expected = layer.intermediate(given)
    with torch.inference_mode():
        made = layer.intermediate(given)
    torch.testing.assert_close(made, expected)
    assert [made.data_ptr() == product.data_ptr() for product in products] == [False, True]


def test_dropout_is_not_left_out(tmp_path: Path) -> None:
    _, layer = loaded(tmp_path)
    layer.output.train()
    given, inner = torch.randn(2, 5, 32), torch.randn(2, 5, layer.output.dense.in_features)
    layer.output.dropout.p = 0.5
    with torch.inference_mode():
        made = layer.output(inner, given.clone())
        layer.output.eval()
        assert not torch.allclose(made, layer.output(inner, given.clone()))


def test_a_model_gives_the_same_vectors_and_gradients(tmp_path: Path) -> None:
    encoder, layer = loaded(tmp_path)
    vectors_ND = encoder(encoder.features(TEXTS, "passage"))
    np.testing.assert_allclose(encoder.encode(TEXTS, "passage"), vectors_ND.detach().numpy(), atol=1e-6)
    vectors_ND[:, 0].sum().backward()
    for changed in (layer.intermediate, layer.output, layer.attention.output):
        assert changed.dense.weight.grad.abs().sum() > 0


def test_an_adapters_product_is_its_own(tmp_path: Path) -> None:
    encoder, layer = loaded(tmp_path)

    class Adapted(torch.nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input) * 3

    layer.output.dense.__class__ = Adapted
    with torch.no_grad():
        expected_ND = encoder(encoder.features(TEXTS, "passage")).numpy()
    np.testing.assert_allclose(encoder.encode(TEXTS, "passage"), expected_ND, atol=1e-6)
