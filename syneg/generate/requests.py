"""Which negatives are asked for: one request a (training query, positive, sample)."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syneg.config import GenerateConfig
from syneg.generate.attributes import AttributeLists, Attributes
from syneg.generate.keys import digest, request_key, sampling_seed
from syneg.generate.prompts import first_words
from syneg.schemas import ANSWERS
from syneg.texts import passage_text

_SAMPLING = {
    "temperature",
    "top_p",
    "repetition_penalty",
    "max_tokens",
    "max_model_len",
    "max_reasoning_chars",
    "min_negative_chars",
    "max_negative_chars",
    "seed",
}

REQUEST = pa.schema(
    [
        ANSWERS.field(name)
        for name in (
            "negative_id",
            "query_id",
            "positive_id",
            "query",
            "positive",
            "domain",
            "difficulty",
            "length",
            "seed",
        )
    ]
    + [pa.field("sample", pa.int32(), nullable=False)]
)
"""What is known of a row before it is answered."""


def training_pairs(queries: pa.Table, qrels: pa.Table, max_pairs: int | None) -> pa.Table:
    """query_id, query, positive_id of the training queries' relevant passages.

    The `max_pairs` are the first in the order of a hash of their ids: a larger number keeps those of a smaller one.
    """
    training = queries.filter(pc.field("split") == "train")
    relevant = qrels.filter(pc.field("relevance") > 0)
    pairs = relevant.join(training, keys="query_id", join_type="inner")
    pairs = pa.table({"query_id": pairs["query_id"], "query": pairs["text"], "positive_id": pairs["passage_id"]})
    if max_pairs is None or max_pairs >= pairs.num_rows:
        return pairs
    ids = zip(pairs["query_id"].to_pylist(), pairs["positive_id"].to_pylist(), strict=True)
    order = np.array([digest("pair", *pair) for pair in ids])
    return pairs.take(np.argsort(order)[:max_pairs])


def with_positives(pairs: pa.Table, passages: Iterable[pa.Table]) -> Iterator[Mapping[str, str]]:
    """`pairs` with the text of their positive, in the order of the passages. Pairs with an empty positive drop out.

    Only one block of passages is held at a time, whatever the size of the corpus.
    """
    wanted = pc.field("passage_id").isin(pairs["positive_id"].unique())
    for block in passages:
        found = block.filter(wanted)
        if not found.num_rows:
            continue
        positives = {
            row["passage_id"]: text for row in found.to_pylist() if (text := passage_text(row["title"], row["text"]))
        }
        here = pc.field("positive_id").isin(pa.array(list(positives), pa.string()))
        for pair in pairs.filter(here).to_pylist():
            yield pair | {"positive": positives[pair["positive_id"]]}


@dataclass(frozen=True)
class Asking:
    """What all requests of a run share."""

    generate: GenerateConfig
    lists: AttributeLists | None  # None: no attributes are drawn
    prompt_version: str
    model: str

    @cached_property
    def settings(self) -> str:
        """Everything else that makes the LLM write what it writes."""
        engine = self.generate.engine.model_dump(exclude={"kind", "model", "path"})
        return json.dumps([self.generate.model_dump(include=_SAMPLING), engine], sort_keys=True)

    def requests(self, pair: Mapping[str, str]) -> Sequence[dict[str, Any]]:
        """One row a sample: the columns of schemas.ANSWERS that are known before the answer, and `sample`."""
        return [self._request(pair, sample) for sample in range(self.generate.samples_per_pair)]

    def _request(self, pair: Mapping[str, str], sample: int) -> dict[str, Any]:
        seed = self.generate.seed
        key = request_key(pair["query_id"], pair["positive_id"], sample)
        drawn = self.lists.draw(seed, key) if self.lists else Attributes()
        shown = first_words(pair["positive"], self.generate.max_positive_words)
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
        )
        return {
            "negative_id": negative_id[:32],
            "query_id": pair["query_id"],
            "positive_id": pair["positive_id"],
            "query": pair["query"],
            "positive": shown,
            "domain": drawn.domain,
            "difficulty": drawn.difficulty,
            "length": drawn.length,
            "seed": sampling_seed(seed, key),
            "sample": sample,
        }
