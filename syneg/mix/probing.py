"""The source-shortcut probe as a stage: a sample of both kinds of negatives, and what tells them apart."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syneg.encoder.recipe import base_model
from syneg.mix import shortcut
from syneg.mix.recipe import SYNTHETIC, seeded
from syneg.on_ray.workers import OnRay, Workers
from syneg.settings.encoder import EncoderConfig
from syneg.settings.probe import ProbeConfig
from syneg.stage import Context, Inputs, Output, Source

_FEWEST = 20  # of a kind: below, an AUC says nothing


class Sampled(NamedTuple):
    """A negative that was drawn. Of one that stands in several instances, one place counts."""

    lot: float
    id: str
    text: str
    query_id: str


def run(inputs: Inputs, context: Context, *, encoder: EncoderConfig, probe: ProbeConfig) -> Output:
    """facts: how many of each kind were looked at, AUC by view, medians of length, and warnings in words.

    rows are the negatives looked at. Where either kind has too few nothing is told, and the facts say so.
    """
    workers = OnRay(context.resources.encode, context.resources)
    return probed(inputs, context, workers, encoder=encoder, probe=probe)


def probed(inputs: Inputs, context: Context, workers: Workers, *, encoder: EncoderConfig, probe: ProbeConfig) -> Output:
    written, found = sample(inputs.tables["instances"].blocks(), probe.sample, probe.seed)
    facts: dict = {"synthetic": len(written), "retrieved": len(found), "auc": {}, "warnings": []}
    if all(_suffices(negatives, probe.folds) for negatives in (written, found)):
        context.progress(f"encoding {len(written):,} synthetic negatives")
        encoded = workers.start(_encode, base_model(encoder), encoder, [one.text for one in written])
        vectors = np.concatenate([workers.get(encoded), _stored(inputs.tables["passage_vectors"], found)])
        facts |= judged(written, found, vectors, probe)
    elif written and found:
        facts["warnings"] = [
            f"Whether synthetic negatives can be told from retrieved ones by a shortcut was not looked at: there are "
            f"{len(written):,} and {len(found):,}, and {max(_FEWEST, 2 * probe.folds)} of each are needed, of "
            f"{probe.folds} queries or more."
        ]
    count = len(written) + len(found)
    return Output(rows_in=count, rows_out=count, facts=lambda: facts)


def _suffices(negatives: Sequence[Sampled], folds: int) -> bool:
    """Texts of one query stand in one fold, so that as many queries as folds are needed, too."""
    return len(negatives) >= max(_FEWEST, 2 * folds) and len({one.query_id for one in negatives}) >= folds


def judged(written: Sequence[Sampled], found: Sequence[Sampled], vectors_ND: np.ndarray, settings: ProbeConfig) -> dict:
    """The facts about a sample; `vectors_ND` in the order synthetic, retrieved."""
    texts = [one.text for one in (*written, *found)]
    synthetic = np.arange(len(texts)) < len(written)
    queries = np.unique([one.query_id for one in (*written, *found)], return_inverse=True)[1]
    length, style = shortcut.length_features(texts), shortcut.style_features(texts)
    views = {"length": length, "style": style, "vector": vectors_ND}
    told = {
        view: shortcut.told_apart(features, synthetic, queries, settings.folds, settings.seed)
        for view, features in views.items()
    }
    lengths = shortcut.medians(np.expm1(length[:, 0]), synthetic)
    most = shortcut.largest_differences(style, shortcut.STYLE, synthetic)[0]
    return {
        "auc": {view: asdict(one) for view, one in told.items()},
        "median_words": {"synthetic": round(lengths[0]), "retrieved": round(lengths[1])},
        "style_differs_most_by": most,
        "warnings": shortcut.warnings(told, lengths, most, settings.warn_above),
    }


def sample(blocks: Iterable[pa.Table], number: int, seed: int) -> tuple[list[Sampled], list[Sampled]]:
    """Up to `number` synthetic and retrieved negatives of accepted instances, drawn by their ids.

    Retrieved ones come from queries with a synthetic one where there are enough, so that the two kinds differ in their
    source and not in their topics.
    """
    drawn: dict[tuple[bool, bool], dict[str, Sampled]] = {}
    for block in blocks:
        rows = block.filter(pc.field("reject_reason").is_null()).select(["query_id", "negatives"]).to_pylist()
        for row in rows:
            sources = {negative["source"] for negative in row["negatives"]}
            for negative in row["negatives"]:
                kind = (negative["source"] == SYNTHETIC, SYNTHETIC in sources)
                lot = seeded(seed, negative["id"]).random()
                one = Sampled(lot, negative["id"], negative["text"], row["query_id"])
                known = drawn.setdefault(kind, {})
                known[one.id] = min(one, known.get(one.id, one))
        # Only those with the smallest lots are kept, so that memory is bounded by the sample.
        drawn = {
            kind: {one.id: one for one in heapq.nsmallest(number, known.values())} for kind, known in drawn.items()
        }
    written, beside, elsewhere = (drawn.get(kind, {}) for kind in ((True, True), (False, True), (False, False)))
    found = beside if len(beside) >= len(written) else elsewhere | beside
    return sorted(written.values()), heapq.nsmallest(number, found.values())


def _encode(folder: Path, encoder: EncoderConfig, texts: Sequence[str]) -> np.ndarray:
    """float32 [N, D], in the precision of the stored vectors: rounding must not tell the kinds apart."""
    from syneg.encoder.encoder import Encoder  # loads torch, which the driver need not

    model = Encoder.for_inference(folder, encoder)
    return model.encode(texts, "passage").astype(np.float16).astype(np.float32)


def _stored(vectors: Source, found: Sequence[Sampled]) -> np.ndarray:
    """float32 [N, D] in the order of `found`."""
    rows = vectors.where("id", [one.id for one in found])
    by_id = dict(zip(rows["id"].to_pylist(), rows["vector"].to_pylist(), strict=True))
    return np.stack([np.frombuffer(by_id[one.id], "<f2") for one in found]).astype(np.float32)
