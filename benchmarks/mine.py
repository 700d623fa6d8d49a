"""Mining on SciFact against `sentence_transformers.util.mine_hard_negatives`, encoding included.

    python benchmarks/mine.py [--collection ../shared/data/scifact] [--documents 200] [--queries 60] [--full]

all-MiniLM-L6-v2, passages cut at 256 tokens, the best 50, a relative margin of 0.05, the best three survivors, which
are compared. Both start from texts and a loaded model and have all cores; the time is the clock's. `--full`: all
passages and training queries. Nearly all of the time is the encoder's: ours takes a batch a core where PyTorch shares
out each batch, and sorts all texts by length.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests.memory

import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, util

from syneg import schemas
from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Kind, Recipe
from syneg.mine import stage
from syneg.on_ray.workers import InProcess
from syneg.settings.encoder import EncoderConfig
from syneg.settings.mine import Bm25Config, MineConfig
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs
from syneg.store import models
from syneg.texts import passage_text
from tests.memory import MemoryTable

LENGTH, WINDOW, MARGIN, TAKEN, TARGET = 256, 50, 0.05, 3, 0.8
Negatives = dict[str, list[str]]  # texts by query


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    shared = Path(__file__).parents[2] / "shared" / "data" / "scifact"
    parser.add_argument("--collection", type=Path, default=shared)
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    if not arguments.collection.is_dir():
        sys.exit(f"There is no collection at {arguments.collection}: name a folder in BEIR layout by --collection.")
    texts, pairs = read(arguments)
    measure(texts, pairs, arguments.repeats)


def read(arguments: argparse.Namespace) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Passages by id, and pairs (query, passage id), each query with its first positive."""
    lines = (arguments.collection / "corpus.jsonl").open(encoding="utf-8")
    rows = [json.loads(line) for line in lines]
    texts = {row["_id"]: passage_text(row["title"], row["text"]) for row in rows}
    asked = [json.loads(line) for line in (arguments.collection / "queries.jsonl").open(encoding="utf-8")]
    queries = {row["_id"]: row["text"] for row in asked}
    judged = (arguments.collection / "qrels" / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]
    first: dict[str, str] = {}
    for query_id, passage_id, _ in (line.split("\t") for line in judged):
        first.setdefault(queries[query_id], passage_id)
    pairs = list(first.items())
    if not arguments.full:
        pairs = pairs[: arguments.queries]
        kept = dict.fromkeys([*(passage for _, passage in pairs), *list(texts)])
        texts = {name: texts[name] for name in list(kept)[: arguments.documents]}
    return texts, pairs


def measure(texts: dict[str, str], pairs: list[tuple[str, str]], repeats: int) -> None:
    folder = models.locate(EncoderConfig().model)
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    model.max_seq_length = LENGTH
    encoder = Encoder.load(folder, Recipe("", "", LENGTH, LENGTH), "cpu")
    encoder.at_once = cores = torch.get_num_threads()
    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    our_negatives: Negatives = {}
    peer_negatives: Negatives = {}
    for _ in range(repeats):
        torch.set_num_threads(1)
        began = time.perf_counter()
        our_negatives = ours(encoder, texts, pairs)
        seconds["ours"].append(time.perf_counter() - began)
        torch.set_num_threads(cores)
        began = time.perf_counter()
        peer_negatives = peer(model, texts, pairs)
        seconds["peer"].append(time.perf_counter() - began)
        print({side: round(taken[-1], 2) for side, taken in seconds.items()}, flush=True)
    same = np.mean([our_negatives.get(query) == peer_negatives.get(query) for query, _ in pairs])
    medians = {side: statistics.median(taken) for side, taken in seconds.items()}
    ratio = medians["ours"] / medians["peer"]
    result = {
        "name": "mine",
        **{side: round(value, 3) for side, value in medians.items()},
        "ratio": round(ratio, 3),
        "target": f"<= {TARGET}",
        "holds": bool(ratio <= TARGET and same > 0.95),
        "queries_with_the_same_negatives": round(float(same), 3),
        "passages": len(texts),
        "queries": len(pairs),
    }
    print(json.dumps(result))
    sys.exit(0 if result["holds"] else 1)


def ours(encoder: Encoder, texts: dict[str, str], pairs: list[tuple[str, str]]) -> Negatives:
    query_ids, ids = [f"q{row:05d}" for row in range(len(pairs))], list(texts)

    def vectors(names: list[str], of: list[str], kind: Kind) -> MemoryTable:
        values = encoder.encode(of, kind).astype(np.float16)
        return MemoryTable(pa.table([names, [row.tobytes() for row in values]], schema=schemas.vectors(384)))

    asked = [query for query, _ in pairs]
    ones = pa.array([1] * len(pairs), pa.int32())
    passages = [ids, [""] * len(ids), list(texts.values())]
    tables = {
        "passages": MemoryTable(pa.table(passages, schema=schemas.PASSAGES)),
        "queries": MemoryTable(pa.table([query_ids, asked, ["train"] * len(asked)], schema=schemas.QUERIES)),
        "qrels": MemoryTable(pa.table([query_ids, [passage for _, passage in pairs], ones], schema=schemas.QRELS)),
        "passage_vectors": vectors(ids, list(texts.values()), "passage"),
        "query_vectors": vectors(query_ids, asked, "query"),
    }
    mine = MineConfig.model_validate({"samplers": {"dense": {"window_end": WINDOW, "relative_margin": MARGIN}}})
    with tempfile.TemporaryDirectory() as scratch:
        context = Context(ResourcesConfig(), Path(scratch), workers=InProcess())
        output = stage.run(Inputs(tables), context, bm25=Bm25Config(), mine=mine)
        negatives: Negatives = {}
        for block in cast(Any, output.tables["candidates"]):
            for row in block.filter(block["reject_reason"].is_null()).to_pylist():
                own = negatives.setdefault(asked[int(row["query_id"][1:])], [])
                if len(own) < TAKEN:
                    own.append(texts[row["passage_id"]])
        return negatives


def peer(model: SentenceTransformer, texts: dict[str, str], pairs: list[tuple[str, str]]) -> Negatives:
    rows = {"anchor": [query for query, _ in pairs], "positive": [texts[passage] for _, passage in pairs]}
    mined = util.mine_hard_negatives(
        Dataset.from_dict(rows),
        model,
        corpus=list(texts.values()),
        range_max=WINDOW,
        relative_margin=MARGIN,
        num_negatives=TAKEN,
        output_format="labeled-list",
        use_faiss=True,
        verbose=False,
    )
    return {row["anchor"]: row["positive"][1:] for row in cast(Any, mined)}


if __name__ == "__main__":
    main()
