"""Passages and queries to vectors, by the base model or by the one that was trained."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.data import Dataset

from syneg.encoder.architecture import pooling_warnings
from syneg.encoder.recipe import base_model, identity
from syneg.encoder.texts import KINDS, Texts, contents
from syneg.errors import StageFailed
from syneg.on_ray.placement import actors, beside_driver, threads
from syneg.settings.encoder import EncoderConfig
from syneg.stage import Context, Inputs, Output, Stake
from syneg.vectors import pack

if TYPE_CHECKING:
    from syneg.encoder.encoder import Tokens


def run(inputs: Inputs, context: Context, *, encoder: EncoderConfig) -> Output:
    """Tables `passage_vectors` and `query_vectors`: id and float16 unit vector of every passage and every query.

    The model is the folder `model` where the stage reads one, the config's otherwise. Both kinds of text go through one
    pool of workers, since a worker takes longer to start than a few thousand queries take to encode. What another
    output of the same model and recipe holds is not encoded again.
    """
    folder = inputs.folders.get("model") or base_model(encoder)
    warnings = pooling_warnings(folder, encoder.pooling)
    made_by = {"encoder": identity(encoder, folder)}
    texts = [Texts.of(kind, inputs, context, made_by) for kind in KINDS]
    total = sum(of.count() for of in texts)
    ledger: Any = ray.remote(Ledger).options(**beside_driver()).remote()
    encoded = None
    if total > sum(len(of.done) + len(of.taken) for of in texts):
        passages, queries = (of.dataset() for of in texts)
        encoded = _encoded(passages.union(queries), {"encoder": encoder, "folder": folder, "ledger": ledger}, context)
    facts: dict[str, Any] = {**made_by, "vectors_taken_over": {of.table: len(of.taken) for of in texts}}
    if warnings:
        facts["warnings"] = warnings
    return Output(
        rows_in=total,
        tables={of.table: _told(of.rows_taken(), context.progress) for of in texts if len(of.taken)},
        stored=encoded,
        facts=lambda: {**facts, **ray.get(ledger.facts.remote())},
    )


def _told(rows: Iterator[pa.Table], progress: Callable[[str], None]) -> Iterator[pa.Table]:
    count = 0
    for block in rows:
        yield block
        count += block.num_rows
        progress(f"{count:,} rows from earlier outputs")


StoreRows = Callable[[str, pa.Table], pa.Table]
"""Stores the rows of a table; what it gives goes into `Output.stored`."""


class Ledger:
    """Counts over all encoding actors. A batch that was tried twice counts once, by its first id."""

    def __init__(self) -> None:
        self._truncated: dict[tuple[str, str], int] = {}
        self._dimensions: int | None = None

    def add(self, table: str, first_id: str, truncated: int, dimensions: int) -> None:
        self._truncated[table, first_id] = truncated
        self._dimensions = dimensions

    def facts(self) -> dict[str, int | None]:
        """`dimensions` is None and the counts are 0 where nothing was left to encode."""

        def truncated(table: str) -> int:
            return sum(count for (of, _), count in self._truncated.items() if of == table)

        return {
            "dimensions": self._dimensions,
            "truncated_passages": truncated("passage_vectors"),
            "truncated_queries": truncated("query_vectors"),
        }


class EncodeBatch:
    """One worker of the pool: holds the model, turns blocks of texts into blocks of vectors."""

    def __init__(
        self,
        encoder: EncoderConfig,
        folder: str,
        threads: int,
        ledger: Any,
        stake: Stake,
        store_rows: StoreRows,
    ) -> None:
        # sentence-transformers takes many seconds to import, which the driver need not wait for.
        import torch

        from syneg.encoder.encoder import Encoder

        torch.set_num_threads(1)
        self._encoder = Encoder.for_inference(folder, encoder)
        self._encoder.at_once = threads if self._encoder.device.type == "cpu" else 1
        self._ledger = ledger
        self._stake = stake
        self._store_rows = store_rows

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        for kind in KINDS:
            table = f"{kind}_vectors"
            rows = batch.filter(pc.field("table") == table)
            if not rows.num_rows:
                continue
            tokens = self._encoder.tokenize(rows["text"].to_pylist(), kind)
            self._ledger.add.remote(table, rows["id"][0].as_py(), tokens.truncated, self._encoder.dimensions)
            for places, vectors_ND in self._in_time(tokens):
                _check_finite(vectors_ND, table, rows["id"], places)
                chosen = rows.take(pa.array(places))
                columns = [chosen["id"], pack(vectors_ND), contents(chosen["id"], chosen["text"])]
                made = pa.table(columns, names=["id", "vector", "content"])
                yield self._store_rows(table, made)

    def _in_time(self, tokens: "Tokens") -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Places and vectors of all texts, in pieces that take no longer than may be unsaved (and one batch)."""
        places, vectors = list[np.ndarray](), list[np.ndarray]()
        began = time.monotonic()
        for rows, vectors_ND in self._encoder.encode_batches(tokens):
            places.append(rows)
            vectors.append(vectors_ND)
            if time.monotonic() - began > self._stake.seconds:
                yield np.concatenate(places), np.concatenate(vectors)
                places, vectors, began = [], [], time.monotonic()
        if places:
            yield np.concatenate(places), np.concatenate(vectors)


def _check_finite(vectors_ND: np.ndarray, table: str, ids: pa.ChunkedArray, places: np.ndarray) -> None:
    broken = np.flatnonzero(~np.isfinite(vectors_ND).all(axis=1))
    if len(broken):
        raise StageFailed(
            f"{table}: the encoder's vector of {ids[int(places[broken[0]])].as_py()!r} is not of finite numbers, nor "
            f"are {len(broken) - 1} others of its batch. Look at the model's weights, or give encoder.dtype=float32."
        )


def _encoded(texts: Dataset, arguments: dict[str, Any], context: Context) -> Dataset:
    pool = context.resources.encode
    rows = min(pool.batch_rows, context.stake.rows)
    # Cut into small blocks, they keep every worker busy and are stored piece by piece.
    return texts.repartition(target_num_rows_per_block=rows).map_batches(
        EncodeBatch,
        batch_format="pyarrow",
        batch_size=rows,
        zero_copy_batch=True,
        fn_constructor_kwargs=arguments
        | {"threads": threads(pool), "stake": context.stake, "store_rows": context.store_rows},
        **actors(pool, context.resources),
    )
