"""What the tables add up to: pure, block by block, memory bounded by one block and the answer."""

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import Any

import numpy as np
import pyarrow as pa

from syneg.schemas import ACCEPTED, SYNTHETIC_SOURCE

EDGES = np.linspace(-1.0, 1.0, 201)
"""Bins of similarity. Cosines a rounding error outside [-1, 1] fall into the outermost bins."""

Pair = tuple[str, str]
"""(query_id, positive_id): what an instance is known by."""


def by_reason(reasons: pa.ChunkedArray, kept: str) -> Counter[str]:
    """Rows by `reject_reason`, those without one under the name `kept`."""
    return Counter(kept if reason is None else reason for reason in reasons.to_pylist())


def ordered(outcomes: Mapping[str, int], kept: str) -> dict[str, int]:
    """`kept` first, then the reasons by how often they were given."""
    rejected = sorted((name for name in outcomes if name != kept), key=lambda name: (-outcomes[name], name))
    return {kept: outcomes.get(kept, 0)} | {name: outcomes[name] for name in rejected}


def candidate_outcomes(blocks: Iterable[pa.Table]) -> dict[str, dict[str, int]]:
    """Candidates by sampler and by reason, "kept" for those without one. Blocks: sampler, reject_reason."""
    totals: dict[str, Counter[str]] = {}
    for block in blocks:
        counted = block.group_by(["sampler", "reject_reason"]).aggregate([([], "count_all")])
        for row in counted.to_pylist():
            reason = row["reject_reason"] or "kept"
            totals.setdefault(row["sampler"], Counter())[reason] += row["count_all"]
    return {sampler: ordered(totals[sampler], "kept") for sampler in sorted(totals)}


def epoch_steps(metrics: pa.Table) -> dict[str, range]:
    """The steps of the first epoch and, if it is another one, of the last: {"epoch 1": range(0, 32), ...}.

    `epoch` counts the share of the data seen after the step: 1.0 is the last step of the first epoch.
    """
    if not metrics.num_rows:
        return {}
    steps = metrics["step"].to_numpy()
    epochs = np.maximum(1, np.ceil(metrics["epoch"].to_numpy().astype(np.float64) - 1e-4)).astype(int)
    found = {}
    for epoch in sorted({1, int(epochs.max())}):
        own = steps[epochs == epoch]
        found[f"epoch {epoch}"] = range(int(own.min()), int(own.max()) + 1)
    return found


def mass_by_source(masses: pa.ChunkedArray) -> dict[str, dict[str, float]]:
    """Of an instance's own negatives by source: the share of them, and the share that they have of the probability
    which the model gives to them all. Means over the steps of `masses` (`schemas.METRICS`).

    What other instances bring (in_batch) is left out, since nobody counts it. Shares are 0 where there is nothing.
    """
    mass, count = Counter[str](), Counter[str]()
    for step in masses.drop_null().to_pylist():
        for found in step:
            if found["negatives"] is not None:
                mass[found["source"]] += found["mass"]
                count[found["source"]] += found["negatives"]
    shares = {
        source: {
            "share_of_negatives": count[source] / (count.total() or 1.0),
            "share_of_mass": mass[source] / (mass.total() or 1.0),
        }
        for source in count
    }
    return by_source(shares)


def similarity_histograms(blocks: Iterable[pa.Table], epochs: Mapping[str, range]) -> dict[str, dict[str, np.ndarray]]:
    """Counts [200] over `EDGES` by epoch and source, positives first. Blocks: step, source, score."""
    totals: dict[str, dict[str, np.ndarray]] = {epoch: {} for epoch in epochs}
    for block in blocks:
        steps = block["step"].to_numpy()
        sources = block["source"].combine_chunks().dictionary_encode()
        source_of = sources.indices.to_numpy()
        scores = np.clip(block["score"].to_numpy(), EDGES[0], EDGES[-1])
        for (epoch, own), (code, source) in product(epochs.items(), enumerate(sources.dictionary.to_pylist())):
            chosen = scores[(steps >= own.start) & (steps < own.stop) & (source_of == code)]
            totals[epoch][source] = totals[epoch].get(source, 0) + np.histogram(chosen, EDGES)[0]
    return {epoch: by_source(found) for epoch, found in totals.items()}


def by_source(found: Mapping[str, Any]) -> dict[str, Any]:
    """The same values by source: positives first, then synthetic, then the samplers by name."""
    place = {"positive": 0, SYNTHETIC_SOURCE: 1}
    return {source: found[source] for source in sorted(found, key=lambda source: (place.get(source, 2), source))}


@dataclass
class InstanceTally:
    """What the instances hold, and a few of them drawn to be read."""

    usable: int = 0
    with_synthetic: int = 0
    in_place_of_rejected: int = 0  # a synthetic negative was asked for and rejected; a retrieved one is there
    rejected: Counter[str] = field(default_factory=Counter)
    negatives: Counter[str] = field(default_factory=Counter)  # by source
    drawn: list[Pair] = field(default_factory=list)


def instance_tally(blocks: Iterable[pa.Table], asked: frozenset[Pair], to_read: int) -> InstanceTally:
    """Counts instances and draws `to_read` of them, half with a synthetic negative where there are as many.

    A row is drawn by the hash of its key, so that the choice does not depend on the order of the rows.

    Args:
        blocks: query_id, positive_id, negatives, reject_reason.
        asked: the pairs that a synthetic negative was asked for.
        to_read: how many to draw.
    """
    tally = InstanceTally()
    lots: dict[bool, list[tuple[str, Pair]]] = {True: [], False: []}
    for block in blocks:
        tally.rejected.update(block["reject_reason"].drop_null().to_pylist())
        usable = block.filter(ACCEPTED)
        pairs = zip(usable["query_id"].to_pylist(), usable["positive_id"].to_pylist(), strict=True)
        for pair, sources in zip(pairs, _sources(usable["negatives"]), strict=True):
            synthetic = SYNTHETIC_SOURCE in sources
            tally.usable += 1
            tally.with_synthetic += synthetic
            tally.in_place_of_rejected += not synthetic and pair in asked
            tally.negatives.update(sources)
            lots[synthetic].append((_lot(pair), pair))
        lots = {synthetic: heapq.nsmallest(to_read, drawn) for synthetic, drawn in lots.items()}
    tally.drawn = _halves(lots[True], lots[False], to_read)
    return tally


def _halves(with_synthetic: list[tuple[str, Pair]], without: list[tuple[str, Pair]], wanted: int) -> list[Pair]:
    half = max(wanted - wanted // 2, wanted - len(without))
    chosen = with_synthetic[:half]
    return [pair for _, pair in chosen + without[: wanted - len(chosen)]]


def _sources(negatives: pa.ChunkedArray) -> list[list[str]]:
    """The sources of each instance's negatives."""
    lists = negatives.combine_chunks()
    sources = lists.flatten().field("source").to_pylist()
    ends = np.cumsum([0, *lists.value_lengths().to_pylist()])
    return [sources[start:end] for start, end in pairwise(ends)]


def _lot(pair: Pair) -> str:
    return hashlib.sha256("\0".join(("report", *pair)).encode()).hexdigest()
