"""The passages that no negative may repeat: those judged relevant to its query, and those that evaluation asks for."""

from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.data import Dataset

from syneg.generate import duplicates
from syneg.passages import named_texts
from syneg.positives import RELEVANT, by_text
from syneg.stage import Source
from syneg.texts import words

FORBIDDEN = pa.schema(
    [
        ("passage_id", pa.string()),
        ("text", pa.string()),
        ("relevant_to", pa.list_(pa.string())),  # training queries, by their texts
        ("held_out", pa.bool_()),  # relevant to a dev or test query
        ("signature", pa.binary()),
    ]
)


def forbidden(passages: Source, queries: pa.Table, qrels: pa.Table, threshold: float) -> Dataset:
    """Rows of `FORBIDDEN`: every passage judged relevant to any query, with its MinHash signature; lazy."""
    look = partial(_look, by_passage=ray.put(relevant(queries, qrels)), rows=duplicates.rows_per_band(threshold))
    return passages.dataset().map_batches(look, batch_size=None, batch_format="pyarrow")


def relevant(queries: pa.Table, qrels: pa.Table) -> dict[str, tuple[list[str], bool]]:
    """`relevant_to` and `held_out` by passage_id."""
    training = pc.field("split") == "train"
    held_out = queries.filter(~training)["query_id"].unique()
    judged = qrels.filter(RELEVANT)
    by_passage: dict[str, tuple[list[str], bool]] = {}
    for passage_id in judged.filter(pc.field("query_id").isin(held_out))["passage_id"].to_pylist():
        by_passage[passage_id] = ([], True)
    for row in by_text(queries.filter(training), judged).to_pylist():
        by_passage.setdefault(row["passage_id"], ([], False))[0].append(row["query_id"])
    return by_passage


def _look(batch: pa.Table, by_passage: "ray.ObjectRef[dict[str, tuple[list[str], bool]]]", rows: int) -> pa.Table:
    known = ray.get(by_passage)
    judged = batch.filter(pc.field("passage_id").isin(pa.array(list(known), pa.string())))
    found = [
        {
            "passage_id": name,
            "text": text,
            "relevant_to": known[name][0],
            "held_out": known[name][1],
            "signature": duplicates.signature(duplicates.grams(words(text)), rows).tobytes(),
        }
        for name, text in named_texts(judged)
        if text
    ]
    return pa.Table.from_pylist(found, FORBIDDEN)


def copies(near: Iterator[tuple[str, str]], query_of: dict[str, str], passages: dict[str, dict]) -> dict[str, str]:
    """The reason of each negative that is like a judged passage. `near`: pairs of negative_id and passage_id."""
    reasons: dict[str, str] = {}
    for negative, passage_id in near:
        row = passages[passage_id]
        if query_of[negative] in row["relevant_to"]:
            reasons[negative] = "copies_relevant"
        elif row["held_out"]:
            reasons.setdefault(negative, "copies_held_out")
    return reasons
