"""Random two-layer BERTs with a tokeniser by letters: real models in folders, made in a moment."""

import string
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizer

LETTERS = string.ascii_lowercase + string.digits


def tiny_bert(folder: Path, dropout: float = 0.1, pooling: str = "mean") -> Path:
    """A sentence-transformers model: D = 32, 64 positions, no Normalize module of its own. Always the same weights."""
    config = _tokenizer_and_config(folder, dropout)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    transformer = Transformer(str(folder))
    pooled = Pooling(transformer.get_embedding_dimension(), pooling)  # type: ignore[arg-type]
    SentenceTransformer(modules=[transformer, pooled]).save(str(folder), create_model_card=False)
    return folder


def tiny_cross_encoder(folder: Path, labels: int = 1) -> Path:
    """A sequence classifier of 64 positions, whose logits differ from pair to pair."""
    config = _tokenizer_and_config(folder, 0.1)
    config.num_labels = labels
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def _tokenizer_and_config(folder: Path, dropout: float) -> BertConfig:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    folder.mkdir(parents=True, exist_ok=True)
    BertTokenizer(vocab={token: row for row, token in enumerate(vocabulary)}).save_pretrained(folder)
    return BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        initializer_range=0.2,  # large enough for texts to differ
    )
