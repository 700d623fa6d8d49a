"""Does a run grow with its collection as it should: time and peak memory of every stage up to the mix, by size.

The real stages by `pipeline.run` and the real store, on this machine. Two things are stood in for, since they would
take days here and scale by adding workers: the LLM (an answer is made up at once) and the encoder (a vector is drawn
from the text's id). Queries are a tenth of the passages, one relevant passage each.

    python benchmarks/soak.py [PASSAGES ...]      # 10000 100000 if none is given; 1000000 takes long
    python benchmarks/soak.py 10000 100000 1000000 --record benchmarks/soak.json  # read by test_cost.py

Time should grow with the rows. Mining's exact search grows with queries times passages, so a tenfold collection costs
it a hundredfold; its column says so. The target is the issue's: the driver stays under 1 GB.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pyarrow as pa

from syneg.encoder.recipe import Kind
from syneg.encoder.stage import EncodeBatch

if TYPE_CHECKING:
    from syneg.encoder.encoder import Tokens

DIMENSIONS = 64
STAGES = ("corpus", "generate", "gate", "embed", "mine", "mix")
TARGET_BYTES = 1e9
_WORDS_A_PASSAGE = 55
_VOCABULARY = [f"w{number:05x}" for number in range(30_000)]


def main(sizes: list[int], record: Path | None) -> int:
    machine = f"{os.cpu_count()} CPUs, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.machine()}"
    print(f"{machine}; vectors of {DIMENSIONS} dimensions; queries a tenth of the passages\n", flush=True)
    print("| passages | " + " | ".join(STAGES) + " | driver's peak | all processes' peak |")
    print("|---:|" + "---:|" * (len(STAGES) + 2), flush=True)
    peak, runs = 0.0, []
    for size in sizes:
        done = subprocess.run(
            [sys.executable, __file__, "--one", str(size)], stdout=subprocess.PIPE, text=True, check=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        times = " | ".join(f"{found['seconds'][stage]:.1f} s" for stage in STAGES)
        print(f"| {size:,} | {times} | {found['driver'] / 1e6:,.0f} MB | {found['tree'] / 1e9:,.2f} GB |", flush=True)
        peak = max(peak, found["driver"])
        runs.append({"passages": size, "queries": size // 10, **found})
        if record:  # after every size: the next may take an hour
            record.write_text(json.dumps({"machine": machine, "dimensions": DIMENSIONS, "runs": runs}, indent=1) + "\n")
    holds = peak < TARGET_BYTES
    ratio = round(peak / TARGET_BYTES, 3)
    print(
        json.dumps({"name": "soak", "ours": peak, "peer": TARGET_BYTES, "ratio": ratio, "target": 1.0, "holds": holds})
    )
    return 0 if holds else 1


def one(passages: int) -> None:
    """One size in a process of its own; its last line is JSON."""
    from syneg.config.run import RunConfig
    from syneg.encoder import stage as encoder_stage
    from syneg.generate import engine
    from syneg.pipeline import pipeline

    encoder_stage.EncodeBatch = DrawVectors  # type: ignore[misc]
    engine.answer = made_up
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        collection(Path(folder) / "collection", passages, passages // 10)
        (Path(folder) / "none.jsonl").write_text("")
        config = RunConfig.model_validate(
            {
                "name": "soak",
                "store": {"root": f"{folder}/store", "part_rows": 8192},
                "corpus": {"source": "beir", "path": f"{folder}/collection"},
                "generate": {"engine": {"kind": "recorded", "path": f"{folder}/none.jsonl"}},
                "mine": {"samplers": {"dense": {"window_end": 20}, "bm25": {"window_end": 20}}},
                "mix": {"on_short": "keep"},
                "resources": {
                    "object_store_gib": 1.0,
                    "generate": {"batch_rows": 1024},
                    "encode": {"batch_rows": 4096},
                },
            }
        )
        with Peaks() as peaks:
            finished = pipeline.run(config, peaks, None, "mix")
        rows = {name: made.rows_out for name, made in finished.manifests.items()}
        seconds = {name: made.seconds for name, made in finished.manifests.items()}
    print(json.dumps({"rows": rows, "seconds": seconds, "driver": max(peaks.driver.values()), "tree": peaks.tree}))


class Peaks:
    """A `pipeline.Listener` that samples this process's memory by stage, and that of its whole tree."""

    def __init__(self) -> None:
        self.driver: dict[str, int] = {}
        self.tree = 0
        self._stage = "before"
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> "Peaks":
        self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._sampler.join()

    def started(self, stage: Any) -> None:
        self._stage = stage.name

    def progressed(self, stage: Any, message: str) -> None:
        pass

    def finished(self, stage: Any, result: Any, reused: bool) -> None:
        driver = self.driver.get(stage.name, 0) / 1e6
        print(
            f"{stage.name}: {result.seconds:.1f} s, {result.rows_out:,} rows, driver {driver:.0f} MB", file=sys.stderr
        )

    def _sample(self) -> None:
        own = psutil.Process()
        while not self._ended.wait(0.5):
            self.driver[self._stage] = max(self.driver.get(self._stage, 0), private_bytes(own))
            self.tree = max(self.tree, private_bytes(own) + sum(map(private_bytes, own.children(recursive=True))))


def private_bytes(process: psutil.Process) -> int:
    """Resident memory less what is shared with others, such as Ray's object store, which would count many times."""
    try:
        memory = process.memory_info()
    except psutil.Error:
        return 0  # it has ended
    return memory.rss - getattr(memory, "shared", 0)


def collection(folder: Path, passages: int, queries: int) -> None:
    """BEIR layout; `queries` training queries with the passage of the same number as relevant, and 100 test queries."""
    (folder / "qrels").mkdir(parents=True)
    draw = np.random.default_rng(0)
    with (folder / "corpus.jsonl").open("w") as file:
        for start in range(0, passages, 10_000):
            words_NL = np.minimum(draw.zipf(1.3, (10_000, _WORDS_A_PASSAGE)), len(_VOCABULARY)) - 1
            for number, row in enumerate(words_NL[: passages - start], start):
                text = " ".join(_VOCABULARY[word] for word in row)
                file.write(json.dumps({"_id": f"p{number}", "title": f"Passage {number}", "text": text}) + "\n")
    tests = min(100, queries)
    with (folder / "queries.jsonl").open("w") as file:
        for name in [f"q{number}" for number in range(queries)] + [f"t{number}" for number in range(tests)]:
            file.write(json.dumps({"_id": name, "text": f"what is {words(name, 6)}"}) + "\n")
    for split, letter, count in (("train", "q", queries), ("test", "t", tests)):
        lines = "".join(f"{letter}{number}\tp{number}\t1\n" for number in range(count))
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{lines}")


def words(key: str, count: int) -> str:
    numbers = np.frombuffer(hashlib.shake_128(key.encode()).digest(2 * count), "<u2")
    return " ".join(_VOCABULARY[number % len(_VOCABULARY)] for number in numbers)


def made_up(requests: Any, columns: list[str], *_: Any) -> Any:
    """Stands in for the engine: an answer for every request, at once."""

    def answered(batch: pa.Table) -> pa.Table:
        texts = [words(key, 50) for key in batch["negative_id"].to_pylist()]
        rows = len(texts)
        return pa.table(
            {name: batch[name] for name in columns}
            | {
                "answer": [json.dumps({"reasoning": "made up", "hard_negative": text}) for text in texts],
                "finish_reason": ["stop"] * rows,
                "error": pa.nulls(rows, pa.string()),
                "input_tokens": pa.array([600] * rows, pa.int32()),
                "output_tokens": pa.array([100] * rows, pa.int32()),
                "cached_tokens": pa.nulls(rows, pa.int32()),
                "probability": pa.nulls(rows, pa.float32()),
                "asked_at": pa.nulls(rows, pa.float64()),
                "seconds": pa.nulls(rows, pa.float32()),
            }
        )

    return requests.map_batches(answered, batch_size=None, batch_format="pyarrow")


class DrawVectors(EncodeBatch):
    """The encoder's worker with a model that takes no time."""

    def __init__(self, encoder: Any, folder: Any, threads: int, ledger: Any, stake: Any, keep: Any) -> None:
        self._encoder: Any = Drawing()
        self._ledger, self._stake, self._keep = ledger, stake, keep


class Drawing:
    """Stands in for the encoder: unit vectors that follow from the texts."""

    dimensions = DIMENSIONS

    def tokenize(self, texts: Sequence[str], kind: Kind) -> "Tokens":
        from syneg.encoder.encoder import Tokens  # brings torch, which has no place in the driver that is measured

        return Tokens(kind, [list(hashlib.shake_128(text.encode()).digest(DIMENSIONS)) for text in texts], 0)

    def encode_batches(self, tokens: "Tokens") -> Iterator[tuple[np.ndarray, np.ndarray]]:
        vectors_ND = np.asarray(tokens.ids, np.float32) - 127.5
        yield np.arange(len(tokens.ids)), vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[10_000, 100_000])
    parser.add_argument("--record", type=Path)
    parser.add_argument("--one", action="store_true")
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments.sizes[0])
    else:
        sys.exit(main(arguments.sizes, arguments.record))
