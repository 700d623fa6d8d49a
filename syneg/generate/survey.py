"""What only all answers of a run together show: near-duplicates, yields, and how fast the engine wrote."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syneg.generate import duplicates
from syneg.generate.gate import words

ATTRIBUTES = ("domain", "difficulty", "length")


@dataclass(frozen=True)
class Survey:
    duplicates: frozenset[str]  # negative_id
    facts: dict[str, Any]


def survey(blocks: Callable[[], Iterator[pa.Table]], threshold: float) -> Survey:
    """Looks through all gated answers, block by block. `blocks()` starts over.

    Held at once are 232 bytes an accepted row (id and signature) and the 3-grams of the few rows that share a band of
    their signatures with another.
    """
    ids, signatures = _signatures(blocks())
    suspected = duplicates.suspects(signatures)
    names = [ids[index] for index in suspected]
    found = duplicates.duplicates(names, signatures[suspected], _grams(blocks(), names), threshold)
    return Survey(found, _facts(blocks(), found))


def _signatures(blocks: Iterable[pa.Table]) -> tuple[list[str], np.ndarray]:
    """The ids of the N rows accepted so far, and N x BANDS."""
    ids: list[str] = []
    signatures: list[np.ndarray] = [np.zeros((0, 1), np.uint64)]
    for block in blocks:
        accepted = block.filter(pc.field("reject_reason").is_null())
        if accepted.num_rows:
            ids += accepted["negative_id"].to_pylist()
            joined = b"".join(accepted["signature"].to_pylist())
            signatures.append(np.frombuffer(joined, np.uint64).reshape(accepted.num_rows, -1))
    return ids, np.concatenate(signatures[1:] or signatures)


def _grams(blocks: Iterable[pa.Table], ids: list[str]) -> dict[str, frozenset[int]]:
    wanted = pc.field("negative_id").isin(pa.array(ids, pa.string()))
    rows = (row for block in blocks for row in block.filter(wanted).select(["negative_id", "text"]).to_pylist())
    return {row["negative_id"]: duplicates.grams(words(row["text"])) for row in rows}


def _facts(blocks: Iterable[pa.Table], found: frozenset[str]) -> dict[str, Any]:
    requests, accepted = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    rows = rows_accepted = input_tokens = output_tokens = 0
    spans: list[np.ndarray] = [np.zeros((0, 2))]
    for block in blocks:
        rows += block.num_rows
        input_tokens += int(block["input_tokens"].to_numpy().sum())
        output_tokens += int(block["output_tokens"].to_numpy().sum())
        asked = block.filter(pc.field("asked_at").is_valid())
        starts = asked["asked_at"].to_numpy()
        spans.append(np.stack([starts, starts + asked["seconds"].to_numpy()], axis=1))
        for row in block.select(["negative_id", "reject_reason", *ATTRIBUTES]).to_pylist():
            passed = row["reject_reason"] is None and row["negative_id"] not in found
            rows_accepted += passed
            values = [(name, row[name]) for name in ATTRIBUTES if row[name]]
            requests.update(values)
            accepted.update(values if passed else ())
    busy = busy_seconds(np.concatenate(spans))
    return {
        "requests": rows,
        "accepted": rows_accepted,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "output_tokens_per_second": round(output_tokens / busy, 1) if busy else None,
        "yield": {
            name: {
                value: {"requests": count, "accepted": accepted[name, value]}
                for (of, value), count in sorted(requests.items())
                if of == name
            }
            for name in ATTRIBUTES
        },
    }


def busy_seconds(spans: np.ndarray) -> float:
    """How long at least one request was with an engine. `spans`: N x 2, start and end of each request.

    An engine's start and the pauses between attempts lie outside all spans, so they do not count.
    """
    if not len(spans):
        return 0.0
    spans = spans[np.argsort(spans[:, 0])]
    reached = np.maximum.accumulate(spans[:, 1])
    before = np.concatenate([spans[:1, 0], reached[:-1]])
    return float(np.maximum(reached - np.maximum(spans[:, 0], before), 0).sum())
