"""Our training step on a CUDA device: BGE-large's sizes, batches of 512 to 32,768 with 7 negatives.

    python benchmarks/train_cuda.py [--batches 512 4096 32768] [--chunk 1024] [--passages 128] [--model FOLDER]

Needs torch and sentence-transformers only: neither Ray nor DeepSpeed, so that it runs on a bare GPU machine. Without
--model the weights are random, which costs the same time. Texts are of random words, all as long as they may be.
Prints a line a batch size, then JSON: queries per second, share of the device's bfloat16 peak (target: 40 %; the second
forward pass and the attention's own products not counted as work), peak memory.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe
from syneg.train import trainable
from syneg.train.batches import KnownPositives
from syneg.train.gradient_cache import PlainTrainee
from syneg.train.measure import operations_per_token, peak_of
from syneg.train.peers import Peers
from syneg.train.step import Step

NEGATIVES, TARGET = 7, 0.4
_LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "max_position_embeddings": 512,
}
_WORDS = [f"{left}{right}" for left in "bcdfghklmnprstvw" for right in ("a", "e", "i", "o", "u", "an", "el", "or")]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[512, 4096, 32768])
    parser.add_argument("--chunk", type=int, default=1024, help="texts encoded at once")
    parser.add_argument("--queries", type=int, default=32, help="tokens a query")
    parser.add_argument("--passages", type=int, default=128, help="tokens a passage")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--steps", type=int, default=2, help="of each batch size, after one that is not counted")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print(json.dumps({"name": "train_cuda", "skipped": "no CUDA device"}))
        return
    results = [_measure(arguments, batch) for batch in arguments.batches]
    best = max(result["peak_share"] or 0.0 for result in results)
    print(
        json.dumps(
            {
                "name": "train_cuda",
                "device": torch.cuda.get_device_name(),
                "ours": best,
                "peer": TARGET,
                "ratio": best / TARGET,
                "target": f"peak_share >= {TARGET}",
                "holds": best >= TARGET,
                "batches": results,
            }
        )
    )
    sys.exit(0 if best >= TARGET else 1)


def _measure(arguments: argparse.Namespace, batch: int) -> dict[str, Any]:
    device = torch.device("cuda")
    encoder = _encoder(arguments)
    train: Any = settings(arguments, batch)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=1e-5, fused=True)
    trainee = PlainTrainee(trainable.InPrecision(encoder, "bfloat16"))
    nothing = np.empty(0, np.int64)
    step = Step(encoder, trainee, RandomRows(arguments), train, Peers(), KnownPositives(nothing, nothing))
    torch.cuda.reset_peak_memory_stats()
    seconds, tokens = [], 0
    for number in range(arguments.steps + 1):
        prepared = step.prepare(np.arange(batch) + number * batch)
        torch.cuda.synchronize()
        began = time.perf_counter()
        scored = step.backward(prepared)
        optimizer.step()
        optimizer.zero_grad()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
        tokens = scored[0].tokens
    median, peak = float(np.median(seconds[1:])), peak_of(device)
    share = peak and tokens * operations_per_token(encoder) / median / peak
    result = {
        "batch": batch,
        "seconds": round(median, 3),
        "queries_per_second": round(batch / median, 2),
        "peak_share": share and round(share, 4),
        "peak_memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2),
    }
    print(json.dumps(result), flush=True)
    return result


def settings(arguments: argparse.Namespace, batch: int) -> SimpleNamespace:
    """What the step reads of `train`; the config itself needs pydantic."""
    return SimpleNamespace(
        batch_size=batch,
        chunk_size=arguments.chunk,
        chunk_tokens=None,
        query_max_length=arguments.queries,
        passage_max_length=arguments.passages,
        in_batch_negatives=True,
        cross_device_negatives=False,
        both_directions=False,
        false_negative_margin=None,
        distillation=None,
        matryoshka_dimensions=(),
        temperature=0.02,
    )


class RandomRows:
    """Instances of random words. The same numbers give the same texts."""

    widest = 1 + NEGATIVES

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._query, self._passage = arguments.queries, arguments.passages

    def rows(self, numbers: np.ndarray) -> list[Any]:
        return [self._row(int(number)) for number in numbers]

    def _row(self, number: int) -> dict[str, Any]:
        draw = np.random.default_rng(number)
        texts = [" ".join(draw.choice(_WORDS, self._passage)) for _ in range(1 + NEGATIVES)]
        first = number * (2 + NEGATIVES)
        return {
            "query_id": f"q{number}",
            "query": " ".join(draw.choice(_WORDS, self._query)),
            "positive_id": f"p{number}",
            "positive": texts[0],
            "negatives": [
                {"id": f"n{number}.{place}", "text": text, "source": "random"} for place, text in enumerate(texts[1:])
            ],
            "query_key": first,
            "positive_key": first + 1,
            "negative_keys": list(range(first + 2, first + 2 + NEGATIVES)),
        }


def _encoder(arguments: argparse.Namespace) -> Encoder:
    recipe = Recipe("", "", arguments.queries, arguments.passages)
    if arguments.model:
        return Encoder.load(arguments.model, recipe, "cuda").train()
    with tempfile.TemporaryDirectory() as folder:
        return Encoder.load(random_bert(Path(folder), _LARGE), recipe, "cuda").train()


def random_bert(folder: Path, sizes: dict[str, int]) -> Path:
    """A BERT of random weights, and a tokeniser that knows the words of our texts."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizer

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_WORDS]
    BertTokenizer(vocab={token: row for row, token in enumerate(vocabulary)}).save_pretrained(folder)
    BertModel(BertConfig(vocab_size=30_522, **sizes)).save_pretrained(folder)  # type: ignore[arg-type]
    transformer = Transformer(str(folder))
    pooled = Pooling(transformer.get_embedding_dimension(), "cls")
    SentenceTransformer(modules=[transformer, pooled]).save(str(folder), create_model_card=False)
    return folder


if __name__ == "__main__":
    main()
