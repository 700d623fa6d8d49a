"""Which negatives are asked for: one request a (training query, positive, sample)."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.data

from syneg.generate.attributes import AttributeLists, Attributes
from syneg.generate.engines.asked import LIGHTLY
from syneg.generate.keys import digest, request_key, sampling_seed
from syneg.generate.shown import Shown
from syneg.ids import rows_of
from syneg.keyset import KeySet
from syneg.positives import RELEVANT
from syneg.schemas import ANSWERS
from syneg.settings.generate import GenerateConfig
from syneg.texts import first_words, passage_text

_SAMPLING = {
    "temperature",
    "top_p",
    "min_p",
    "repetition_penalty",
    "max_tokens",
    "max_model_len",
    "max_reasoning_chars",
    "min_negative_chars",
    "max_negative_chars",
    "retries",
    "seed",
}

_PAIRS_AT_ONCE = 16_384  # whose positives a task fetches, in one pass over the corpus
_SORTED_AT_ONCE = 1_024  # pairs; few enough that a run which ends early has seen every attribute

EARLIER = pa.struct(
    [
        ("answer", pa.string()),  # the last one
        ("reason", pa.string()),  # for which it was rejected
        ("attempts", pa.int32()),
        ("input_tokens", pa.int32()),  # of all attempts
        ("output_tokens", pa.int32()),
        ("cached_tokens", pa.int32()),
    ]
)
"""What a request was answered before, where it is asked again."""

REQUEST = pa.schema(
    [
        ANSWERS.field(name)
        for name in (
            "negative_id",
            "query_id",
            "positive_id",
            "query",
            "positive",
            "example",
            "domain",
            "difficulty",
            "length",
            "seed",
        )
    ]
    + [pa.field("sample", pa.int32(), nullable=False), pa.field("before", EARLIER)]
)
"""What is known of a row before it is answered."""


def training_pairs(
    queries: pa.Table, qrels: pa.Table, passages: Callable[[], Iterable[pa.Table]], max_pairs: int | None
) -> pa.Table:
    """query_id, query, positive_id of the training queries' relevant passages that have a text.

    They come in the order of a hash of their ids, so that more pairs include those of fewer. One pass over the corpus,
    of which a block is held at a time.
    """
    training = queries.filter(pc.field("split") == "train")
    relevant = qrels.filter(RELEVANT)
    row = rows_of(relevant["query_id"], training["query_id"])
    relevant, texts = relevant.filter(row >= 0), training["text"].take(row[row >= 0])
    pairs = pa.table({"query_id": relevant["query_id"], "query": texts, "positive_id": relevant["passage_id"]})
    filled = pa.array(_with_text(passages(), pairs["positive_id"].unique()), pa.string())
    pairs = pairs.filter(pc.field("positive_id").isin(filled))
    ids = _rows(pairs.select(["query_id", "positive_id"]))
    order = (int(digest("pair", row["query_id"], row["positive_id"])[:16], 16) for row in ids)
    return pairs.take(np.argsort(np.fromiter(order, np.uint64, pairs.num_rows), kind="stable")[:max_pairs])


def _with_text(passages: Iterable[pa.Table], ids: pa.Array) -> Iterator[str]:
    for block in passages:
        for row in _rows(block.filter(pc.field("passage_id").isin(ids))):
            if passage_text(row["title"], row["text"]):
                yield row["passage_id"]


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Few at a time, since as Python's objects they take many times the memory."""
    for batch in table.to_batches(max_chunksize=1_024):
        yield from batch.to_pylist()


def dataset(pairs: pa.Table, shown: Shown, maker: "RequestMaker", done: KeySet, batch_rows: int) -> ray.data.Dataset:
    """The requests of `pairs` that are not `done`, rows of `REQUEST` in blocks of `batch_rows`.

    The texts are fetched in tasks, so the driver never holds them. The rows wait in the object store,
    which spills to disk: cutting blocks takes a whole CPU, and beside an engine on two there is none left.
    """
    slices = [pairs.slice(start, _PAIRS_AT_ONCE) for start in range(0, pairs.num_rows, _PAIRS_AT_ONCE)]
    known = ray.put(done)

    def make(batch: pa.Table) -> Iterator[pa.Table]:
        yield from requests(batch, shown, maker, ray.get(known))

    rows = ray.data.from_blocks(slices).map_batches(make, **LIGHTLY)
    return in_pieces(rows, batch_rows)


def in_pieces(rows: ray.data.Dataset, batch_rows: int) -> ray.data.Dataset:
    """`rows`, computed now, in blocks of `batch_rows`, each of which is asked for and stored by itself."""
    pieces = rows.repartition(target_num_rows_per_block=batch_rows).materialize()
    return ray.data.from_arrow_refs(pieces.to_arrow_refs())


def requests(pairs: pa.Table, shown: Shown, maker: "RequestMaker", done: KeySet) -> Iterator[pa.Table]:
    """Rows of `REQUEST` that are not `done`, in blocks; one pass over the corpus for every `_PAIRS_AT_ONCE` pairs.

    Those that share the front of their prompt are together, so that the engine's cache still holds it.
    """
    yield REQUEST.empty_table()  # a block has its columns also where nothing is left to ask
    for first in range(0, pairs.num_rows, _PAIRS_AT_ONCE):
        piece = shown.texts(pairs.slice(first, _PAIRS_AT_ONCE))
        for start in range(0, len(piece), _SORTED_AT_ONCE):
            rows = [
                request
                for pair in piece[start : start + _SORTED_AT_ONCE]
                for request in maker.requests(pair)
                if request["negative_id"] not in done
            ]
            if rows:
                yield pa.Table.from_pylist(sorted(rows, key=maker.shared), REQUEST)


@dataclass(frozen=True)
class RequestMaker:
    """What all requests of a run share."""

    generate: GenerateConfig
    lists: AttributeLists | None  # None: no attributes are drawn
    prompt_version: str
    model: str

    def shared(self, request: Mapping[str, Any]) -> tuple[str, ...]:
        """What a prompt begins with, as a key to sort by."""
        drawn = (request["domain"], request["difficulty"], request["length"])
        pair = (request["query_id"], request["positive_id"])
        return (*drawn, *pair) if self.generate.layout == "prefix_first" else (drawn[0], *pair)

    @cached_property
    def settings(self) -> str:
        """Everything else that makes the LLM write what it writes."""
        engine = self.generate.engine
        told = engine.model_dump(exclude={"kind", "model", "path", "limits"} | engine.circumstances())
        return json.dumps([self.generate.model_dump(include=_SAMPLING), told], sort_keys=True)

    def requests(self, pair: Mapping[str, str]) -> Sequence[dict[str, Any]]:
        """One row a sample of a pair with its texts (a row of `Shown.texts`).

        It holds the columns of schemas.ANSWERS that are known before the answer, and `sample`.
        """
        return [self._request(pair, sample) for sample in range(self.generate.samples_per_pair)]

    def _request(self, pair: Mapping[str, str], sample: int) -> dict[str, Any]:
        seed = self.generate.seed
        key = request_key(pair["query_id"], pair["positive_id"], sample)
        drawn = self.lists.draw(seed, key) if self.lists else Attributes()
        shown = first_words(pair["positive"], self.generate.max_positive_words)
        example = first_words(pair["example"], self.generate.max_positive_words)
        negative_id = digest(
            key,
            pair["query"],
            shown,
            drawn.domain,
            drawn.difficulty,
            drawn.length,
            self.prompt_version,
            self.model,
            self.settings,
            *([example] if example else []),
        )
        return {
            "negative_id": negative_id[:32],
            "query_id": pair["query_id"],
            "positive_id": pair["positive_id"],
            "query": pair["query"],
            "positive": shown,
            "example": example,
            "domain": drawn.domain,
            "difficulty": drawn.difficulty,
            "length": drawn.length,
            "seed": sampling_seed(seed, key),
            "sample": sample,
            "before": None,
        }
