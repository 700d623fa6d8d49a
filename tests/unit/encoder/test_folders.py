"""Folders that sentence-transformers loads, with traps in them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, StaticEmbedding
from tokenizers import Tokenizer

from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe
from syneg.errors import BadInput
from tests.tiny_bert import tiny_bert

RECIPE = Recipe("", "", 16, 16)
TEXTS = ["red fox", "a much longer text that will be cut in any case"]


def test_a_dense_layer_behind_the_normalised_vectors_leaves_them_at_unit_length(tmp_path: Path) -> None:
    model = SentenceTransformer(str(tiny_bert(tmp_path / "tiny")), device="cpu")
    folder = str(tmp_path / "with dense")
    SentenceTransformer(modules=[*model, Normalize(), Dense(32, 8)]).save(folder)
    vectors_ND = Encoder.load(folder, RECIPE, "cpu").encode(TEXTS, "passage")
    np.testing.assert_allclose(np.linalg.norm(vectors_ND, axis=1), 1, atol=1e-6)


def test_vectors_are_whole_where_the_folder_cuts_them(tmp_path: Path) -> None:
    folder = tiny_bert(tmp_path / "tiny")
    whole_ND = Encoder.load(folder, RECIPE, "cpu").encode(TEXTS, "passage")
    settings = json.loads((folder / "config_sentence_transformers.json").read_text())
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings | {"truncate_dim": 8}))
    encoder = Encoder.load(folder, RECIPE, "cpu")
    assert encoder.dimensions == 32
    np.testing.assert_array_equal(encoder.encode(TEXTS, "passage"), whole_ND)


def test_a_tokeniser_that_does_not_tell_what_it_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those written in Python (ByT5's, BertJapanese's) have no `encodings`."""
    encoder = Encoder.load(tiny_bert(tmp_path / "tiny"), RECIPE, "cpu")
    texts = ["a" * 14, "a" * 15, "short"]  # 16 tokens with [CLS] and [SEP], one more, fewer
    known = encoder.tokenize(texts, "passage")
    monkeypatch.setattr("transformers.BatchEncoding.encodings", None)
    assert encoder.tokenize(texts, "passage") == known
    assert known.truncated == 1


def test_a_model_without_a_transformer_is_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tiny_bert(tmp_path / "tiny") / "tokenizer.json"))
    embedding = StaticEmbedding(tokenizer, embedding_weights=torch.rand(tokenizer.get_vocab_size(), 8))
    SentenceTransformer(modules=[embedding]).save(str(tmp_path / "static"))
    with pytest.raises(BadInput, match="begins with a StaticEmbedding"):
        Encoder.load(tmp_path / "static", RECIPE, "cpu")


@pytest.mark.parametrize("mode", ["cls", "mean", "lasttoken"])
def test_a_folder_without_modules_is_pooled_as_it_is_told(tmp_path: Path, mode: str) -> None:
    stated, bare = tiny_bert(tmp_path / "stated", pooling=mode), tiny_bert(tmp_path / "bare")
    (bare / "modules.json").unlink()
    expected_ND = Encoder.load(stated, RECIPE, "cpu").encode(TEXTS, "query")
    encoder = Encoder.load(bare, replace(RECIPE, pooling=mode), "cpu")
    np.testing.assert_array_equal(encoder.encode(TEXTS, "query"), expected_ND)
    encoder.save(tmp_path / "saved")  # which says by itself how it is pooled, whatever its recipe says
    saved = Encoder.load(tmp_path / "saved", replace(RECIPE, pooling="mean"), "cpu")
    np.testing.assert_allclose(saved.encode(TEXTS, "query"), expected_ND, atol=1e-6)
