"""Which negatives are asked for: one request a (training query, positive, sample)."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syneg.generate.attributes import AttributeLists, Attributes
from syneg.generate.keys import digest, request_key, sampling_seed
from syneg.generate.prompts import first_words
from syneg.schemas import ANSWERS
from syneg.settings.generate import GenerateConfig
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


def training_pairs(queries: pa.Table, qrels: pa.Table) -> pa.Table:
    """query_id, query, positive_id of the training queries' relevant passages, in the order of a hash of their ids."""
    training = queries.filter(pc.field("split") == "train")
    relevant = qrels.filter(pc.field("relevance") > 0)
    pairs = relevant.join(training, keys="query_id", join_type="inner")
    pairs = pa.table({"query_id": pairs["query_id"], "query": pairs["text"], "positive_id": pairs["passage_id"]})
    ids = zip(pairs["query_id"].to_pylist(), pairs["positive_id"].to_pylist(), strict=True)
    return pairs.take(np.argsort(np.array([digest("pair", *pair) for pair in ids], dtype="U64")))


def with_positives(
    pairs: pa.Table, passages: Callable[[], Iterable[pa.Table]], max_pairs: int | None
) -> Iterator[Mapping[str, str]]:
    """The first `max_pairs` of `pairs` whose positive has a text, with that text. More pairs include those of fewer.

    Each call of `passages` is one pass over the corpus, of which one block is held at a time. There is a second pass
    only if some of the pairs had an empty positive and others take their places.
    """
    left = pairs.num_rows if max_pairs is None else max_pairs
    while left and pairs.num_rows:
        tried, pairs = pairs.slice(0, left), pairs.slice(left)
        for pair in _joined(tried, passages()):
            left -= 1
            yield pair


def _joined(pairs: pa.Table, passages: Iterable[pa.Table]) -> Iterator[Mapping[str, str]]:
    wanted = pc.field("passage_id").isin(pairs["positive_id"].unique())
    for block in passages:
        found = block.filter(wanted).to_pylist()
        positives = {row["passage_id"]: passage_text(row["title"], row["text"]) for row in found}
        filled = [passage_id for passage_id, text in positives.items() if text]
        if filled:
            here = pc.field("positive_id").isin(pa.array(filled, pa.string()))
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
        engine = self.generate.engine.model_dump(exclude={"kind", "model", "path", "limits"})
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
