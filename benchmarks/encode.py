"""Encoding against `SentenceTransformer.encode(batch_size=32)`: the same model, texts, length and number of threads.

    python benchmarks/encode.py [--collection ../shared/data/scifact] [--documents 128] [--full] [--repeats 3]

all-MiniLM-L6-v2 on SciFact's passages, cut at 256 tokens, float32; the vectors must agree within 1e-5. CPU time on one
thread, which a busy machine lengthens less than the clock's. Beside the ratio stands the roofline: what the passages'
operations, without padding, take at the rate that torch reaches for the model's largest product.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from threadpoolctl import threadpool_limits

from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe
from syneg.settings.encoder import EncoderConfig
from syneg.store import models
from syneg.texts import passage_text

LENGTH, AIM, TARGET = 256, 1.3, 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    shared = Path(__file__).parents[2] / "shared" / "data" / "scifact"
    parser.add_argument("--collection", type=Path, default=shared)
    parser.add_argument("--documents", type=int, default=128)
    parser.add_argument("--full", action="store_true", help="all documents")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if not arguments.collection.is_dir():
        sys.exit(f"There is no collection at {arguments.collection}: name a folder in BEIR layout by --collection.")
    rows = [json.loads(line) for line in (arguments.collection / "corpus.jsonl").open(encoding="utf-8")]
    step = 1 if arguments.full else max(1, len(rows) // arguments.documents)
    texts = [passage_text(row["title"], row["text"]) for row in rows[::step]]
    torch.set_num_threads(1)
    with threadpool_limits(1):
        measure(texts, arguments.repeats)


def measure(texts: list[str], repeats: int) -> None:
    folder = models.locate(EncoderConfig().model)
    peer = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    peer.max_seq_length = LENGTH
    encoder = Encoder.load(folder, Recipe("", "", LENGTH, LENGTH), "cpu")
    sides = {
        "ours": lambda: encoder.encode(texts, "passage"),
        "peer": lambda: peer.encode(texts, batch_size=32, normalize_embeddings=True, show_progress_bar=False),
    }
    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    vectors: dict[str, np.ndarray] = {}
    for _ in range(repeats):
        for side, encode in sides.items():
            began = time.process_time()
            vectors[side] = np.asarray(encode())
            seconds[side].append(time.process_time() - began)
    difference = float(np.abs(vectors["ours"] - vectors["peer"]).max())
    rates = {side: len(texts) / statistics.median(taken) for side, taken in seconds.items()}
    lengths = encoder.tokenize(texts, "passage").lengths()
    operations, gemm = _operations(encoder, lengths), _sgemm_rate(encoder)
    ratio = rates["ours"] / rates["peer"]
    roofline = len(texts) / (operations / gemm)
    result = {
        "name": "encode",
        **{side: round(rate, 2) for side, rate in rates.items()},
        "ratio": round(ratio, 3),
        "target": f">= {TARGET} (aim {AIM})",
        "holds": ratio >= TARGET and difference <= 1e-5,
        "unit": "documents per CPU second, one thread",
        "documents": len(texts),
        "largest_difference": difference,
        "roofline": {
            "documents_per_second": round(roofline, 2),
            "reached": round(rates["ours"] / roofline, 3),
            "mean_tokens": round(float(lengths.mean()), 1),
            "gflop_per_document": round(operations / len(texts) / 1e9, 2),
            "sgemm_gflops": round(gemm / 1e9, 1),
        },
    }
    print(json.dumps(result))
    sys.exit(0 if result["holds"] else 1)


def _operations(encoder: Encoder, lengths: np.ndarray) -> float:
    """Of the matrix products alone: 2 a weight and token, and 4 L^2 D for the attention of L tokens."""
    transformer: Any = encoder.model[0]
    config = transformer.config
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    weights = 4 * width * width + 2 * width * inner
    return float(layers * sum(2 * length * weights + 4 * length * length * width for length in lengths))


def _sgemm_rate(encoder: Encoder) -> float:
    transformer: Any = encoder.model[0]
    config = transformer.config
    tokens = torch.randn(4_096, config.hidden_size)
    weight = torch.randn(config.intermediate_size, config.hidden_size)
    seconds = []
    with torch.inference_mode():
        for _ in range(9):
            began = time.process_time()
            torch.nn.functional.linear(tokens, weight)
            seconds.append(time.process_time() - began)
    return 2 * tokens.numel() * len(weight) / min(seconds)


if __name__ == "__main__":
    main()
