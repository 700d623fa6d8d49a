import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from syneg.encoder import encoder as encoding
from syneg.encoder.encoder import Encoder, by_length
from syneg.encoder.recipe import Recipe
from syneg.errors import BadInput
from tests.tiny_bert import tiny_bert

RECIPE = Recipe(query_prompt="query ", passage_prompt="doc ", query_max_length=12, passage_max_length=24)
TEXTS = ["red fox", "", "a much longer text that will be cut in any case", "x", "blue whales sing at night"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Encoder:
    return Encoder.load(folder, RECIPE, device="cpu")


def test_vectors_are_unit_length_and_in_the_order_of_the_texts(encoder: Encoder) -> None:
    together_ND = encoder.encode(TEXTS, "passage")
    alone_ND = np.concatenate([encoder.encode([text], "passage") for text in TEXTS])

    assert together_ND.shape == (len(TEXTS), 32)
    assert together_ND.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together_ND, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(together_ND, alone_ND, atol=1e-6)
    assert np.abs(together_ND[0] - together_ND[4]).max() > 0.01  # texts do differ


def test_batches_at_the_same_time_change_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(encoding._TOKENS_PER_BATCH, "cpu", 30)
    encoder, texts = Encoder.load(folder, RECIPE, device="cpu"), [f"text {'long ' * (row % 5)}" for row in range(40)]
    one = encoder.encode(texts, "passage")
    encoder.at_once = 3
    np.testing.assert_array_equal(encoder.encode(texts, "passage"), one)


def test_queries_and_passages_have_prefixes_and_lengths_of_their_own(encoder: Encoder) -> None:
    longest = max(TEXTS, key=len)
    assert encoder.tokenize([longest], "query").lengths().tolist() == [12]
    assert encoder.tokenize([longest], "passage").lengths().tolist() == [24]
    assert encoder.tokenize([longest], "passage", max_length=7).lengths().tolist() == [7]
    assert np.abs(encoder.encode(["red fox"], "query") - encoder.encode(["red fox"], "passage")).max() > 0.01


def test_truncated_texts_are_counted(encoder: Encoder) -> None:
    exact = "a" * (24 - 2 - len("doc"))  # with [CLS], [SEP] and the prefix it fills the length
    assert encoder.tokenize([exact], "passage").lengths().tolist() == [24]
    assert encoder.tokenize([exact], "passage").truncated == 0
    assert encoder.tokenize([exact + "a", "short", "b " * 100_000], "passage").truncated == 2


@pytest.mark.parametrize("text", ["\ud800 alone", "nul \x00 inside", "", " \t\r\n", "\U0001d54f ☃"])
def test_strange_text_is_encoded(encoder: Encoder, text: str) -> None:
    assert np.isfinite(encoder.encode([text, "red fox"], "query")).all()


def test_no_texts_give_no_vectors(encoder: Encoder) -> None:
    assert encoder.encode([], "query").shape == (0, 32)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_saved_model_gives_sentence_transformers_the_same_vectors(tmp_path: Path, pooling: str) -> None:
    encoder = Encoder.load(tiny_bert(tmp_path / "base", pooling=pooling), RECIPE, device="cpu")
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.01)  # so that the weights are not the base's
    encoder.save(tmp_path / "saved")

    loaded = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    np.testing.assert_allclose(loaded.encode_query(TEXTS), encoder.encode(TEXTS, "query"), atol=1e-5)
    np.testing.assert_allclose(loaded.encode_document(TEXTS), encoder.encode(TEXTS, "passage"), atol=1e-5)
    again = Encoder.load(tmp_path / "saved", RECIPE, device="cpu")
    np.testing.assert_allclose(again.encode(TEXTS, "passage"), encoder.encode(TEXTS, "passage"), atol=1e-6)
    assert list((tmp_path / "saved").glob("*.safetensors"))


def test_features_can_be_encoded_twice_and_carry_gradients(encoder: Encoder) -> None:
    features = encoder.features(TEXTS, "passage", max_length=16)
    names = set(features)
    first_ND, second_ND = encoder.eval()(features), encoder(features)

    assert set(features) == names
    torch.testing.assert_close(first_ND, second_ND)
    first_ND[:, 0].sum().backward()
    assert any(parameter.grad is not None for parameter in encoder.parameters())
    encoder.zero_grad()


def test_encoding_leaves_the_training_mode_as_it_was(encoder: Encoder) -> None:
    encoder.train()
    first, second = encoder.encode(TEXTS, "query"), encoder.encode(TEXTS, "query")
    assert encoder.training
    np.testing.assert_array_equal(first, second)  # no dropout
    encoder.eval()


def test_a_length_beyond_the_models_positions_is_refused(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"passage_max_length is 65, but the model has 64 positions"):
        Encoder.load(folder, Recipe("", "", 8, 65), device="cpu")


def test_batches_hold_every_row_once_within_the_budget() -> None:
    lengths_N = np.random.default_rng(0).integers(1, 50, size=200)
    batches = by_length(lengths_N, budget=120)

    assert sorted(np.concatenate(batches).tolist()) == list(range(200))
    assert all(lengths_N[rows].max() * len(rows) <= 120 for rows in batches)
    assert len(batches) <= 2 * math.ceil(lengths_N.sum() / 120)
    assert [rows.tolist() for rows in by_length(np.array([500, 3]), budget=100)] == [[0], [1]]
