"""What workers need besides the model, on the driver's disk and, where there are other nodes, in the store."""

import hashlib
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import ray

from syneg.errors import BadInput
from syneg.positives import of_split
from syneg.search import dense
from syneg.settings.train import DevConfig, TrainConfig
from syneg.stage import Context, Inputs
from syneg.store import files, folders
from syneg.train import dev, instances
from syneg.train.instances import Written


@dataclass(frozen=True)
class Brought:
    attempt: str  # the folder in the store for what an attempt leaves
    folder: Path
    stored: str | None
    instances: Written


def bring(inputs: Inputs, context: Context, train: TrainConfig) -> Brought:
    """Writes the accepted instances, and the dev split where it is looked at. Memory is bounded by one block.

    Raises:
        BadInput: dev is to be looked at, and has no query with a relevant passage.
    """
    folder = context.scratch / "data"
    folder.mkdir()
    attempt = context.attempt or str(context.scratch / "attempt")
    written = instances.write(inputs.tables["instances"].blocks(), folder)
    if train.dev.every is not None:
        _bring_dev(inputs, train.dev, folder)
    stored = None
    if context.resources.cluster or len(ray.nodes()) > 1:  # a cluster's other nodes may come later
        stored = files.join(attempt, f"data-{uuid.uuid4().hex[:8]}")
        folders.seal(stored, folders.put(folder, stored))
    return Brought(attempt, folder, stored, written)


def fetch_model(address: str, scratch: Path) -> Path:
    """The model that the first worker put into the store, on the driver's disk."""
    folder = scratch / "model"
    folders.fetch(address, folder)
    return folder


def _bring_dev(inputs: Inputs, settings: DevConfig, folder: Path) -> None:
    tables = inputs.tables
    queries, qrels = of_split(tables, "dev")
    if not queries.num_rows:
        raise BadInput(
            "train.dev.every is given, but no dev query has a relevant passage. Name judgements by corpus.dev_split, "
            "or set train.dev.every=null."
        )
    kept = sorted(queries["query_id"].to_pylist(), key=_hash)[: settings.max_queries]
    queries = queries.filter(pc.field("query_id").isin(pa.array(kept, pa.string())))
    qrels = qrels.filter(pc.field("query_id").isin(queries["query_id"].unique()))
    passages: Iterable[pa.Table] = tables["passages"].blocks()
    if settings.passages == "mined":
        passages = _mined(passages, inputs, queries, qrels, settings.depth)
    dev.write(queries, qrels, passages, folder)


def _mined(
    passages: Iterable[pa.Table], inputs: Inputs, queries: pa.Table, qrels: pa.Table, depth: int
) -> Iterator[pa.Table]:
    """The judged passages of `queries`, and those that the base model ranks highest for each."""
    vectors = inputs.tables["query_vectors"].where("id", queries["query_id"].to_pylist())
    ranking = dense.top_k(vectors, inputs.tables["passage_vectors"].blocks(), depth)
    wanted = pa.array(sorted({*ranking["passage_id"].to_pylist(), *qrels["passage_id"].to_pylist()}), pa.string())
    for block in passages:
        yield block.filter(pc.field("passage_id").isin(wanted))


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
