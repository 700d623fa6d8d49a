"""Texts in one row against the same texts padded: what CUDA takes, on a CPU by PyTorch's slow path."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import XLMRobertaConfig, XLMRobertaModel

from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe
from tests.tiny_bert import tiny_bert

RECIPE = Recipe("", "", 12, 24)
TEXTS = ["red fox", "", "a much longer text that will be cut in any case", "x", "blue whales sing at night"]


def both(folder: Path) -> tuple[Encoder, Encoder]:
    padded, packed = (Encoder.load(folder, RECIPE, "cpu") for _ in range(2))
    packed.pack(compiled=False)
    return padded, packed


def as_roberta(folder: Path) -> Path:
    """A model whose positions begin behind the padding's id, with the tokeniser of the one that is there."""
    config = XLMRobertaConfig(
        vocab_size=80,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        pad_token_id=0,
        initializer_range=0.2,
    )
    torch.manual_seed(0)
    XLMRobertaModel(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_vectors_are_those_of_padded_texts(tmp_path: Path, kind: str, pooling: str) -> None:
    folder = tiny_bert(tmp_path / "tiny", pooling=pooling)
    padded, packed = both(folder if kind == "bert" else as_roberta(folder))
    features = packed.features(TEXTS, "passage")
    assert features["input_ids"].shape == (1, int(features["cu_seq_lens_q"][-1]))
    np.testing.assert_allclose(packed.encode(TEXTS, "passage"), padded.encode(TEXTS, "passage"), atol=1e-6)


def test_so_are_the_gradients(tmp_path: Path) -> None:
    found = []
    for encoder in both(tiny_bert(tmp_path / "tiny", dropout=0.0)):
        vectors_ND = encoder.train()(encoder.features(TEXTS, "passage"))
        (vectors_ND @ torch.arange(32.0)).sum().backward()
        found.append({name: weight.grad for name, weight in encoder.named_parameters() if weight.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-5)


def test_attention_drops_while_it_trains_as_the_generator_s_state_says(tmp_path: Path) -> None:
    _, packed = both(tiny_bert(tmp_path / "tiny", dropout=0.0))
    for module in packed.modules():
        if hasattr(module, "num_attention_heads") and isinstance(module.dropout, nn.Dropout):
            module.dropout.p = 0.5  # of the attention alone
    features, vectors = packed.train().features(TEXTS, "passage"), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        vectors.append(packed(features).detach())
    assert torch.equal(vectors[0], vectors[1])
    assert not torch.allclose(vectors[0], vectors[2], atol=1e-3)


def test_what_is_saved_knows_nothing_of_it_and_padded_texts_are_still_taken(tmp_path: Path) -> None:
    padded, packed = both(tiny_bert(tmp_path / "tiny"))
    packed.save(tmp_path / "saved")
    assert "syneg" not in (tmp_path / "saved" / "config.json").read_text()
    given = padded.features(TEXTS, "passage")
    torch.testing.assert_close(packed.eval()(given), padded.eval()(given))


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_layers_drop_the_same_with_and_without_gradients(tmp_path: Path) -> None:
    """Else gradient caching would carry gradients through another network than the one whose vectors it compared."""
    encoder = Encoder.load(tiny_bert(tmp_path / "tiny", dropout=0.3), RECIPE, "cpu")
    expected = encoder.encode(TEXTS, "passage")
    encoder.pack(compiled=True)
    np.testing.assert_allclose(encoder.encode(TEXTS, "passage"), expected, atol=1e-6)
    encoder.train()
    for texts in (TEXTS, TEXTS[:3]):  # of other shapes, too
        features, found = encoder.features(texts, "passage"), []
        for wanted in (True, False):
            torch.manual_seed(3)
            with torch.set_grad_enabled(wanted):
                found.append(encoder(features))
        assert [vectors_ND.requires_grad for vectors_ND in found] == [True, False]
        assert torch.equal(*found)
