"""What only all answers of a run together show: near-duplicates, yields, and how fast the engine wrote."""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syneg.generate import duplicates
from syneg.generate.forbidden import copies
from syneg.settings.generate import Budget
from syneg.texts import words

ATTRIBUTES = ("domain", "difficulty", "length")


Blocks = Callable[[], Iterator[pa.Table]]
"""A pass over the blocks of a table; each call starts over."""


@dataclass(frozen=True)
class Survey:
    reasons: dict[str, str]  # by negative_id, of those that only all rows together show
    facts: dict[str, Any]


def survey(blocks: Blocks, forbidden: Blocks, threshold: float, budget: Budget | None = None) -> Survey:
    """Looks through all gated answers and all forbidden passages (rows of `FORBIDDEN`), block by block.

    Held at once are 232 bytes an accepted row and a passage (id and signature) and the 3-grams of the few that share a
    band of their signatures with another.
    """
    reasons = _copies(blocks, forbidden, threshold)
    ids, signatures = _signatures(blocks(), "negative_id", reasons)
    suspected = duplicates.suspects(signatures)
    names = [ids[index] for index in suspected]
    found = duplicates.duplicates(names, signatures[suspected], _grams(blocks(), "negative_id", names), threshold)
    reasons |= dict.fromkeys(found, "duplicate")
    return Survey(reasons, _facts(blocks(), reasons, budget or Budget()))


def _copies(blocks: Blocks, forbidden: Blocks, threshold: float) -> dict[str, str]:
    known, known_signatures = _signatures(forbidden(), "passage_id")
    ids, signatures = _signatures(blocks(), "negative_id")
    if not known or not ids:
        return {}
    shared = duplicates.suspects(np.concatenate([signatures, known_signatures]))
    own, theirs = shared[shared < len(ids)], shared[shared >= len(ids)] - len(ids)
    names, passage_ids = [ids[index] for index in own], [known[index] for index in theirs]
    wanted = pc.field("passage_id").isin(pa.array(passage_ids, pa.string()))
    passages = {row["passage_id"]: row for block in forbidden() for row in block.filter(wanted).to_pylist()}
    near = duplicates.alike(
        names,
        signatures[own],
        _grams(blocks(), "negative_id", names),
        passage_ids,
        known_signatures[theirs],
        {name: duplicates.grams(words(row["text"])) for name, row in passages.items()},
        threshold,
    )
    query_of = {
        row["negative_id"]: row["query_id"]
        for block in blocks()
        for row in block.filter(pc.field("negative_id").isin(pa.array(names, pa.string())))
        .select(["negative_id", "query_id"])
        .to_pylist()
    }
    return copies(near, query_of, passages)


def _signatures(blocks: Iterable[pa.Table], key: str, without: Container[str] = ()) -> tuple[list[str], np.ndarray]:
    """The ids of the N rows that have a signature and are not `without`, and N x BANDS."""
    ids: list[str] = []
    signatures: list[np.ndarray] = [np.zeros((0, 1), np.uint64)]
    for block in blocks:
        rows = block.filter(pc.field("signature").is_valid())
        if without:
            rows = rows.filter(pa.array([name not in without for name in rows[key].to_pylist()], pa.bool_()))
        if rows.num_rows:
            ids += rows[key].to_pylist()
            joined = b"".join(rows["signature"].to_pylist())
            signatures.append(np.frombuffer(joined, np.uint64).reshape(rows.num_rows, -1))
    return ids, np.concatenate(signatures[1:] or signatures)


def _grams(blocks: Iterable[pa.Table], key: str, ids: list[str]) -> dict[str, frozenset[int]]:
    wanted = pc.field(key).isin(pa.array(ids, pa.string()))
    rows = (row for block in blocks for row in block.filter(wanted).select([key, "text"]).to_pylist())
    return {row[key]: duplicates.grams(words(row["text"])) for row in rows}


@dataclass
class Tally:
    """What some of the requests came to."""

    requests: int = 0
    accepted: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, row: Mapping[str, Any], accepted: bool) -> None:
        self.requests += 1
        self.accepted += accepted
        self.input_tokens += row["input_tokens"]
        self.output_tokens += row["output_tokens"]

    def facts(self, budget: Budget) -> dict[str, Any]:
        price = budget.price(self.input_tokens, self.output_tokens)
        per_accepted = {"price_per_accepted": round(price / self.accepted, 8)} if price and self.accepted else {}
        return asdict(self) | ({"price": round(price, 6)} if price else {}) | per_accepted


def _facts(blocks: Iterable[pa.Table], reasons: Mapping[str, str], budget: Budget) -> dict[str, Any]:
    whole, by_value = Tally(), defaultdict[tuple[str, str], Tally](Tally)
    told, cached = 0, 0
    spans: list[np.ndarray] = [np.zeros((0, 2))]
    for block in blocks:
        counted = block.filter(pc.field("cached_tokens").is_valid())
        told += int(counted["input_tokens"].to_numpy().sum())
        cached += int(counted["cached_tokens"].to_numpy().sum())
        asked = block.filter(pc.field("asked_at").is_valid())
        starts = asked["asked_at"].to_numpy()
        spans.append(np.stack([starts, starts + asked["seconds"].to_numpy()], axis=1))
        columns = ["negative_id", "reject_reason", "input_tokens", "output_tokens", *ATTRIBUTES]
        for row in block.select(columns).to_pylist():
            accepted = row["reject_reason"] is None and row["negative_id"] not in reasons
            whole.add(row, accepted)
            for name in ATTRIBUTES:
                if row[name]:
                    by_value[name, row[name]].add(row, accepted)
    busy = busy_seconds(np.concatenate(spans))
    return whole.facts(budget) | {
        "output_tokens_per_second": round(whole.output_tokens / busy, 1) if busy else None,
        "prefix_cache_hit_rate": round(cached / told, 4) if told else None,
        "yield": {
            name: {value: tally.facts(budget) for (of, value), tally in sorted(by_value.items()) if of == name}
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
