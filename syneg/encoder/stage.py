"""Passages and queries to vectors, by the base model or by the one that was trained."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.data import ActorPoolStrategy, Dataset

from syneg.config import EncoderConfig, ResourcesConfig
from syneg.encoder.recipe import Kind, Recipe, base_model
from syneg.stage import Context, Inputs, Output, Source
from syneg.texts import passage_text


def run(inputs: Inputs, context: Context, *, encoder: EncoderConfig) -> Output:
    """Tables `passage_vectors` and `query_vectors`: id and float16 unit vector of every passage and every query.

    The model is the folder `model` where the stage reads one, the config's otherwise.
    """
    folder = inputs.folders.get("model") or base_model(encoder)
    ledger: Any = ray.remote(Ledger).options(num_cpus=0).remote()

    def vectors(table: str, kind: Kind) -> Dataset:
        done = context.done.get(f"{kind}_vectors", frozenset())
        arguments = {"encoder": encoder, "folder": folder, "kind": kind, "done": done, "ledger": ledger}
        return _encoded(inputs.tables[table], arguments, context.resources)

    passages, queries = inputs.tables["passages"], inputs.tables["queries"]
    return Output(
        rows_in=_count(passages, "passage_id") + _count(queries, "query_id"),
        tables={"passage_vectors": vectors("passages", "passage"), "query_vectors": vectors("queries", "query")},
        facts=lambda: ray.get(ledger.facts.remote()),
    )


class Ledger:
    """Counts over all encoding actors. A batch that was tried twice counts once, by its first id."""

    def __init__(self) -> None:
        self._truncated: dict[tuple[Kind, str], int] = {}
        self._dimensions: int | None = None

    def add(self, kind: Kind, first_id: str, truncated: int, dimensions: int) -> None:
        self._truncated[kind, first_id] = truncated
        self._dimensions = dimensions

    def facts(self) -> dict[str, int | None]:
        """`dimensions` is None and the counts are 0 where nothing was left to encode."""
        counts = {kind: sum(n for (of, _), n in self._truncated.items() if of == kind) for kind in ("query", "passage")}
        return {
            "dimensions": self._dimensions,
            "truncated_passages": counts["passage"],
            "truncated_queries": counts["query"],
        }


class EncodeBatch:
    """One worker of the pool: holds the model, turns blocks of texts into blocks of vectors."""

    def __init__(
        self,
        encoder: EncoderConfig,
        folder: Path,
        kind: Kind,
        done: frozenset[str],
        threads: int,
        ledger: Any,
    ) -> None:
        # sentence-transformers takes many seconds to import, which the driver need not wait for.
        import torch

        from syneg.encoder.encoder import Encoder

        torch.set_num_threads(threads)
        self._encoder = Encoder.load(folder, Recipe.of(encoder), trust_remote_code=encoder.trust_remote_code)
        self._kind: Kind = kind
        self._done = pa.array(sorted(done), pa.string())
        self._ledger = ledger

    def __call__(self, batch: pa.Table) -> pa.Table:
        key = f"{self._kind}_id"
        rows = batch.filter(~pc.field(key).isin(self._done))
        texts: Sequence[str] = rows["text"].to_pylist()
        if self._kind == "passage":
            texts = [passage_text(title, text) for title, text in zip(rows["title"].to_pylist(), texts, strict=True)]
        tokens = self._encoder.tokenize(texts, self._kind)
        if rows.num_rows:
            self._ledger.add.remote(self._kind, rows[key][0].as_py(), tokens.truncated, self._encoder.dimensions)
        vectors = as_binary(self._encoder.encode_tokens(tokens))
        return pa.table({"id": rows[key].combine_chunks(), "vector": vectors})


def as_binary(vectors_ND: np.ndarray) -> pa.FixedSizeBinaryArray:
    """float16 little-endian, as schemas.vectors has it."""
    count, dimensions = vectors_ND.shape
    content = pa.py_buffer(vectors_ND.astype("<f2").tobytes())
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(2 * dimensions), count, [None, content])


def _encoded(source: Source, arguments: dict[str, Any], resources: ResourcesConfig) -> Dataset:
    pool = resources.encode
    # Ray merges small files into one block; cut up again, they keep every worker busy and are stored piece by piece.
    texts = source.dataset().repartition(target_num_rows_per_block=pool.batch_rows)
    return texts.map_batches(
        EncodeBatch,
        batch_format="pyarrow",
        batch_size=pool.batch_rows,
        zero_copy_batch=True,
        fn_constructor_kwargs=arguments | {"threads": max(1, math.floor(pool.cpus))},
        compute=ActorPoolStrategy(min_size=pool.min_workers, max_size=pool.max_workers),
        num_cpus=_claimed_cpus(resources),
        num_gpus=pool.gpus or None,
        accelerator_type=pool.accelerator_type,
    )


def _claimed_cpus(resources: ResourcesConfig) -> float:
    """CPUs that one worker reserves, which may be fewer than it has threads.

    On a machine of our own one CPU is left for the tasks that read and write: they could never start otherwise, since
    the workers hold theirs until the end. A cluster that is joined has CPUs elsewhere.
    """
    pool = resources.encode
    if resources.address is not None:
        return pool.cpus
    share = (ray.cluster_resources().get("CPU", 1.0) - 1) / pool.max_workers
    claimed = min(pool.cpus, share)
    return float(math.floor(claimed)) if claimed > 1 else max(0.0, claimed)


def _count(source: Source, key: str) -> int:
    return sum(block.num_rows for block in source.blocks([key]))
