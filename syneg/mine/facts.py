"""Statistics by sampler: counted by slice, merged, turned into JSON."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syneg.differences import counted
from syneg.ids import rows_of
from syneg.mine import draws
from syneg.mine.shard import Shard
from syneg.schemas import ACCEPTED
from syneg.settings.mine import MineConfig

MARGIN_EDGES = np.round(np.arange(-0.5, 1.51, 0.05), 2)
"""Bins of the relative margin (s+ - s-) / |s+|, by which samplers compare whatever their scores' scale."""
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_SAMPLED = 4_096  # scores of a slice that quantiles are taken from, at even steps of their order
_LISTED = 100  # short queries by name
_NEARLY_ALL = 0.9  # of a window, rejected for one reason, or of what the other filters left by a margin: too much
_NEARLY_UNIFORM = 0.9  # effective share of a draw above which its weights decide little


@dataclass
class OfSampler:
    outcomes: Counter[str] = field(default_factory=Counter)  # by reason, "accepted" for none
    positives: list[np.ndarray] = field(default_factory=list)
    negatives: list[np.ndarray] = field(default_factory=list)
    margins: np.ndarray = field(default_factory=lambda: np.zeros(len(MARGIN_EDGES) - 1, np.int64))
    # simans: share of a query's window, by weight; only of windows with a choice, so that there may be none
    effective: list[np.ndarray] = field(default_factory=list)

    def add(self, other: "OfSampler") -> None:
        self.outcomes.update(other.outcomes)
        self.positives += other.positives
        self.negatives += other.negatives
        self.margins = self.margins + other.margins
        self.effective += other.effective

    def facts(self) -> dict[str, Any]:
        made: dict[str, Any] = {"candidates": self.outcomes.total(), "outcomes": dict(sorted(self.outcomes.items()))}
        for name, values in (("positive_scores", self.positives), ("negative_scores", self.negatives)):
            if quantiles := _quantiles(values):
                made[name] = quantiles
        if self.margins.any():
            made["relative_margins"] = {"edges": MARGIN_EDGES.tolist(), "counts": self.margins.tolist()}
        if self.effective:
            shares = np.concatenate(self.effective)
            made["effective_sample_share"] = float(np.median(shares)) if len(shares) else None
        return made


@dataclass
class Short:
    """The queries with fewer than `least` candidates against the rest."""

    count: int = 0
    unfilled: int = 0  # that random passages did not suffice for either
    listed: list[str] = field(default_factory=list)
    words: dict[bool, list[np.ndarray]] = field(default_factory=lambda: {True: [], False: []})  # short: words a query
    anchors: dict[bool, list[np.ndarray]] = field(default_factory=lambda: {True: [], False: []})

    def add(self, other: "Short") -> None:
        self.count += other.count
        self.unfilled += other.unfilled
        self.listed = (self.listed + other.listed)[:_LISTED]
        for own, theirs in ((self.words, other.words), (self.anchors, other.anchors)):
            for short in (True, False):
                own[short] += theirs[short]

    def facts(self, queries: int, least: int) -> dict[str, Any]:
        made: dict[str, Any] = {"least": least, "queries": self.count, "share": self.count / max(queries, 1)}
        made |= {"unfilled": self.unfilled, "listed": self.listed}
        if 0 < self.count < queries:
            made["words"] = _difference(self.words)
            made["positive_scores"] = _difference(self.anchors)
        return made

    def warnings(self, mine: MineConfig) -> list[str]:
        if not self.unfilled:
            return []
        return [
            f"{counted(self.unfilled, 'query')} stayed below mine.least={mine.least}: the corpus holds too few other "
            "passages to draw (mine.on_short=random)."
        ]


@dataclass
class Tally:
    """Adds up over slices in any order, but for the list of short queries, which is in theirs."""

    queries: int = 0
    samplers: dict[str, OfSampler] = field(default_factory=dict)
    overlap: Counter[tuple[str, str]] = field(default_factory=Counter)  # pairs (query, passage) that both accept
    short: Short = field(default_factory=Short)

    @classmethod
    def of(
        cls,
        found: pa.Table,
        shard: Shard,
        anchors: Mapping[str, np.ndarray],
        short: np.ndarray,
        mine: MineConfig,
        unfilled: int = 0,
    ) -> "Tally":
        """`anchors`: by sampler the positive's score of every query; `short`: rows of the short queries, of which
        `unfilled` are short still."""
        tally = cls(queries=shard.queries.num_rows)
        told = found.drop_columns(["passage_id"])
        for name in found["sampler"].unique().to_pylist():
            rows = told.filter(pc.field("sampler") == name)
            tally.samplers[name] = _of_sampler(name, rows, shard, anchors.get(name), mine)
        if len(tally.samplers) > 1:
            tally.overlap.update(_overlap(found, list(tally.samplers)))
        tally.short = _short(shard, short, anchors)
        tally.short.unfilled = unfilled
        return tally

    def add(self, other: "Tally") -> None:
        self.queries += other.queries
        for name, of_sampler in other.samplers.items():
            self.samplers.setdefault(name, OfSampler()).add(of_sampler)
        self.overlap.update(other.overlap)
        self.short.add(other.short)

    @property
    def rows(self) -> int:
        return sum(sampler.outcomes.total() for sampler in self.samplers.values())

    def facts(self, mine: MineConfig) -> dict[str, Any]:
        """For the manifest and the report. Quantiles are of a sample that every slice gives of its scores."""
        samplers = {name: sampler.facts() for name, sampler in self.samplers.items()}
        return {
            "queries": self.queries,
            "samplers": samplers,
            "overlap": [
                {"samplers": [one, other], "both": both, "share_of_smaller": both / max(1, self._smaller(one, other))}
                for (one, other), both in sorted(self.overlap.items())
            ],
            "short": self.short.facts(self.queries, mine.least),
            "warnings": [*_warnings(samplers, mine), *(_unranked(samplers, mine) if self.queries else ())]
            + self.short.warnings(mine),
        }

    def _smaller(self, one: str, other: str) -> int:
        return min(self.samplers[name].outcomes["accepted"] for name in (one, other))


def _of_sampler(name: str, rows: pa.Table, shard: Shard, anchors: np.ndarray | None, mine: MineConfig) -> OfSampler:
    counted = rows["reject_reason"].fill_null("accepted").value_counts()
    made = OfSampler(Counter({reason["values"]: reason["counts"] for reason in counted.to_pylist()}))
    if anchors is not None and not np.isnan(anchors).all():
        made.positives = [_sample(anchors[~np.isnan(anchors)])]
    scored = rows.filter(ACCEPTED & pc.field("margin").is_valid())
    scores, anchor = scored["score"].to_numpy(), scored["positive_score"].to_numpy()
    if len(scores):
        made.negatives = [_sample(scores)]
        relative = (anchor - scores) / np.maximum(np.abs(anchor), 1e-12)
        made.margins = np.histogram(np.clip(relative, MARGIN_EDGES[0], MARGIN_EDGES[-1]), MARGIN_EDGES)[0]
    if name == "simans":
        window = rows.filter(pc.field("margin").is_valid())  # what was drawn among, before the filters
        log_weights = draws.simans_log_weights(
            window["score"].to_numpy(), window["positive_score"].to_numpy(), mine.simans
        )
        query = rows_of(window["query_id"], shard.ids)
        parts = np.split(log_weights, np.flatnonzero(np.diff(query)) + 1)
        if window.num_rows:
            made.effective = [_effective(parts)]
    return made


def _effective(parts: list[np.ndarray]) -> np.ndarray:
    """Of each window with a choice, the share of its passages that a draw is worth. `parts`: their log weights."""
    return np.array([draws.effective_size(part) / len(part) for part in parts if len(part) > 1])


def _short(shard: Shard, short: np.ndarray, by_sampler: Mapping[str, np.ndarray]) -> Short:
    is_short = np.zeros(shard.queries.num_rows, bool)
    is_short[short] = True
    scored = [anchors for anchors in by_sampler.values() if not np.isnan(anchors).all()]
    anchors = scored[0] if scored else np.full(len(is_short), np.nan)  # of the first sampler that scores
    words = np.array([len(text.split()) for text in shard.queries["text"].to_pylist()], np.float64)
    made = Short(len(short), listed=shard.ids.take(pa.array(short[:_LISTED])).to_pylist())
    for kind, mask in ((True, is_short), (False, ~is_short)):
        made.words[kind] = [words[mask]]
        made.anchors[kind] = [anchors[mask & ~np.isnan(anchors)]]
    return made


def _overlap(found: pa.Table, samplers: list[str]) -> dict[tuple[str, str], int]:
    """Pairs of query and passage that two samplers both accept."""
    accepted = found.filter(ACCEPTED)
    query, passage = (accepted[name].combine_chunks().dictionary_encode() for name in ("query_id", "passage_id"))
    pair = query.indices.to_numpy().astype(np.int64) * len(passage.dictionary) + passage.indices.to_numpy()
    sampler = rows_of(accepted["sampler"], pa.array(samplers))
    of = {name: pair[sampler == number] for number, name in enumerate(samplers)}
    return {
        (one, other): len(np.intersect1d(of[one], of[other], assume_unique=True))
        for one, other in combinations(sorted(of), 2)
    }


def _sample(values: np.ndarray) -> np.ndarray:
    ordered = np.sort(values)
    return ordered if len(ordered) <= _SAMPLED else ordered[np.linspace(0, len(ordered) - 1, _SAMPLED).astype(int)]


def _quantiles(samples: list[np.ndarray]) -> dict[str, float]:
    if not sum(map(len, samples)):
        return {}
    values = np.quantile(np.concatenate(samples), _QUANTILES)
    return {f"{share:.0%}": float(value) for share, value in zip(_QUANTILES, values, strict=True)}


def _difference(groups: Mapping[bool, list[np.ndarray]]) -> dict[str, float] | None:
    """Means of both groups, and their distance in standard deviations (Cohen's d); None where a group has no values."""
    short, rest = (np.concatenate(groups[kind]) for kind in (True, False))
    if not len(short) or not len(rest):
        return None
    spread = np.concatenate([short - short.mean(), rest - rest.mean()]).std()
    distance = (short.mean() - rest.mean()) / spread if spread > 0 else 0.0
    return {"short": float(short.mean()), "rest": float(rest.mean()), "standard_deviations": float(distance)}


def _warnings(samplers: Mapping[str, dict[str, Any]], mine: MineConfig) -> Iterator[str]:
    share = samplers.get("simans", {}).get("effective_sample_share", 0.0)
    if share is None:
        yield "simans: its window leaves no choice, as it holds one passage a query at most: give it more ranks."
    elif share > _NEARLY_UNIFORM:
        yield (
            f"simans: the weights are nearly uniform, a draw is worth {share:.0%} of one without weights. "
            f"mine.simans.a={mine.simans.a:g} is small for these scores: raise it."
        )
    for name, found in samplers.items():
        outcomes = Counter[str](found["outcomes"])
        close, kept = outcomes["above_margin"], outcomes["accepted"]
        if close > _NEARLY_ALL * (close + kept):
            yield (
                f"{name}: its margin rejects {close:,} of {close + kept:,} candidates that the other filters left. It "
                "goes by a query's lowest-scoring positive, which with many positives lies below most passages: give "
                f"mine.samplers.{name} a smaller margin or none, or ranks further down."
            )
        most = outcomes.most_common(1)[0][0]
        if not kept and most == "outside_window":
            yield (
                f"{name}: nothing is left. {outcomes['outside_window']:,} of {outcomes.total():,} ranked passages lie "
                f"outside of its window, and what lies inside is no negative: see mine.samplers.{name}.window_start."
            )
            continue
        del outcomes["outside_window"]  # what stands before a window is meant to
        for reason, count in outcomes.items():
            too_many = count > _NEARLY_ALL * outcomes.total() or (not kept and reason == most)
            if too_many and reason not in ("accepted", "above_margin"):
                see = f": see mine.samplers.{name}.min_score" if reason == "below_min_score" else ""
                yield f"{name}: {reason} rejects {count:,} of {outcomes.total():,} passages of its window{see}."


def _unranked(samplers: Mapping[str, dict[str, Any]], mine: MineConfig) -> Iterator[str]:
    for name, sampler in mine.samplers.items():
        if name not in samplers:
            yield (
                f"{name}: it ranked no passage. Its window starts at {sampler.window_start:,}: the corpus may hold "
                "fewer, or no query shares a word with it (bm25)."
            )
