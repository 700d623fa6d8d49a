"""The GELU that writes over its input."""

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import gelu

from syneg.encoder.activation import _Gelu
from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe
from tests.tiny_bert import tiny_bert

RECIPE = Recipe("", "", 16, 16)


def test_only_inference_loses_what_was_given() -> None:
    given = torch.linspace(-3, 3, 100)
    expected = gelu(given)
    with torch.no_grad():
        torch.testing.assert_close(_Gelu()(given), expected)
    assert not torch.equal(given, expected)  # a gradient may be asked for after this pass
    with torch.inference_mode():
        made = _Gelu()(given)
    assert made.data_ptr() == given.data_ptr()
    torch.testing.assert_close(given, expected)


def test_a_model_gives_the_same_vectors_and_gradients(tmp_path: Path) -> None:
    encoder = Encoder.load(tiny_bert(tmp_path), RECIPE, device="cpu").eval()
    gelus = [module for module in encoder.modules() if isinstance(module, _Gelu)]
    assert len(gelus) == len(encoder.model[0].auto_model.encoder.layer)  # type: ignore[union-attr]
    texts = ["red fox", "blue whales sing at night"]
    vectors_ND = encoder(encoder.features(texts, "passage"))
    np.testing.assert_allclose(encoder.encode(texts, "passage"), vectors_ND.detach().numpy(), atol=1e-6)
    vectors_ND[:, 0].sum().backward()
    weights = encoder.model[0].auto_model.encoder.layer[0].intermediate.dense.weight  # type: ignore[union-attr]
    assert weights.grad.abs().sum() > 0  # type: ignore[union-attr]
