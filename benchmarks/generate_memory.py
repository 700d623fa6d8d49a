"""The driver's memory while generation runs over many pairs, with a stand-in for the engine.

    python benchmarks/generate_memory.py [PAIRS]

Measured is what the driver holds for itself (RssAnon), at its highest: objects in Ray's shared memory are bounded by
the store's own size. The claim is 1 GiB at a million pairs. Pieces are large, since a stand-in answers at once: with
those of an engine a piece's way to the store and back, and not the work, would set the pace.
"""

import json
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray

from syneg import schemas
from syneg.cluster import session
from syneg.generate import engine, stage
from syneg.generate.engines.asked import ANSWERED
from syneg.settings.generate import GenerateConfig
from syneg.settings.resources import EstimateConfig, ResourcesConfig, WorkerResources
from syneg.settings.store import StorageConfig
from syneg.stage import Context, Inputs, Stake
from syneg.store import parts, tables

TARGET = 1024.0  # MiB
TEXT = " ".join(f"word{number}" for number in range(150))


def stand_in(requests: Any, columns: list[str], *_: object) -> Any:
    def answered(batch: pa.Table) -> pa.Table:
        rows = batch.num_rows
        answer = json.dumps({"reasoning": "", "hard_negative": TEXT})
        made = {name: pa.nulls(rows, kind) for name, kind in zip(ANSWERED.names, ANSWERED.types, strict=True)}
        made |= {"answer": pa.array([answer] * rows), "finish_reason": pa.array(["stop"] * rows)}
        made |= {name: pa.array([100] * rows, pa.int32()) for name in ("input_tokens", "output_tokens")}
        return pa.table({name: batch[name] for name in columns} | made)

    return requests.map_batches(answered, batch_size=None, batch_format="pyarrow", num_cpus=0.1)


@dataclass
class Highest:
    """The most anonymous memory of this process, in MiB, looked at ten times a second."""

    mib: float = 0.0

    def watch(self) -> None:
        while True:
            lines = Path("/proc/self/status").read_text().splitlines()
            (kib,) = [int(line.split()[1]) for line in lines if line.startswith("RssAnon")]
            self.mib = max(self.mib, kib / 1024)
            time.sleep(0.1)


def corpus(pairs: int, folder: str) -> Inputs:
    """A query and a passage a pair, in parts of as many rows as the corpus stage writes."""
    texts = {"passages": [], "queries": [], "qrels": []}
    for start in range(0, pairs, parts.BLOCK_ROWS):
        ids = [f"{number:08d}" for number in range(start, min(start + parts.BLOCK_ROWS, pairs))]
        blank, train = [""] * len(ids), ["train"] * len(ids)
        rows = {
            "passages": {"passage_id": ids, "title": blank, "text": [f"{name} {TEXT}" for name in ids]},
            "queries": {"query_id": ids, "text": [f"What is known of {name}?" for name in ids], "split": train},
            "qrels": {"query_id": ids, "passage_id": ids, "relevance": pa.array([1] * len(ids), pa.int32())},
        }
        for name, columns in rows.items():
            fitted = pa.table(columns).cast(getattr(schemas, name.upper()))
            texts[name] += tables.write(fitted, folder, name, lambda line: None)
    return Inputs({name: tables.StoredTable(f"{folder}/{name}", tuple(own)) for name, own in texts.items()})


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    engine.answer = stand_in
    generate = GenerateConfig()
    instant = EstimateConfig(output_tokens=100, output_tokens_per_second=1e6)
    resources = ResourcesConfig(generate=WorkerResources(batch_rows=1_024), estimate=instant, object_store_gib=0.5)
    with tempfile.TemporaryDirectory() as folder, session.joined(resources, StorageConfig()):
        inputs = ray.get(ray.remote(corpus).remote(pairs, folder))  # in a process of its own
        highest = Highest()
        threading.Thread(target=highest.watch, daemon=True).start()
        time.sleep(0.3)
        before, began = highest.mib, time.perf_counter()
        output = stage.run(inputs, Context(resources, Path(folder), stake=Stake(rows=8_192)), generate=generate)
        rows: Any = output.tables["answers"]
        answered = sum(block.num_rows for block in rows)
        seconds = time.perf_counter() - began
    assert answered == output.rows_in == pairs
    print(
        f"{pairs:,} pairs in {seconds:.0f} s; the driver's own memory went from {before:.0f} to {highest.mib:.0f} MiB"
    )
    result = {
        "name": "generate_memory",
        "ours": round(highest.mib, 1),
        "peer": round(before, 1),
        "ratio": round(highest.mib / before, 3),
        "target": TARGET,
        "holds": highest.mib < TARGET,
        "pairs": pairs,
        "rows_per_second": round(pairs / seconds),
    }
    print(json.dumps(result))
    sys.exit(0 if result["holds"] else 1)


if __name__ == "__main__":
    main()
