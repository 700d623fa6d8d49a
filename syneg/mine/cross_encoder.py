"""The filter that reads query and passage together: the last one of mining, since it costs most."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from syneg.ids import rows_of
from syneg.mine.filters import above_margin
from syneg.mine.shard import Shard
from syneg.passages import COLUMNS, texts_of
from syneg.schemas import POSITIVES, with_columns
from syneg.settings.mine import CrossEncoderConfig, SamplerConfig
from syneg.stage import Source
from syneg.store import models

_KEY = "mine.cross_encoder.model"


@dataclass(frozen=True)
class Scored:
    """What the cross-encoder says of a shard's open candidates and of its positives."""

    rows: np.ndarray  # int64 [N]: the candidates that passed the filters before
    scores: np.ndarray  # float32 [N]
    positive_scores: np.ndarray  # float32 [J], in the order of the shard's positives


def filtered(
    found: pa.Table, shard: Shard, passages: Source, settings: CrossEncoderConfig
) -> tuple[pa.Table, pa.Table]:
    """`found` with scores, and rejected what comes too close to the lowest positive; rows of `schemas.POSITIVES`."""
    scored = score(found, shard, passages, settings)
    query = rows_of(found["query_id"], shard.ids)[scored.rows]
    anchor_Q = np.full(shard.queries.num_rows, np.inf, np.float32)
    np.minimum.at(anchor_Q, shard.positive_queries, scored.positive_scores)
    anchor = anchor_Q[query]

    margins = SamplerConfig(relative_margin=settings.relative_margin, absolute_margin=settings.absolute_margin)
    too_close = above_margin(scored.scores, anchor, margins)
    if settings.max_score is not None:
        too_close |= scored.scores > settings.max_score
    reasons = found["reject_reason"].to_numpy().astype(object)
    reasons[scored.rows[too_close]] = "cross_encoder"

    judged = with_columns(
        found,
        cross_score=_column(found.num_rows, scored.rows, scored.scores),
        cross_positive_score=_column(found.num_rows, scored.rows, anchor),
        reject_reason=reasons,
    )
    positives = [shard.ids.take(pa.array(shard.positive_queries)), shard.positive_ids, scored.positive_scores]
    return judged, pa.table(positives, schema=POSITIVES)


def score(found: pa.Table, shard: Shard, passages: Source, settings: CrossEncoderConfig) -> Scored:
    """Every pair is scored once, whichever samplers brought it; the pairs of all queries fill the batches together."""
    from syneg.encoder.cross_encoder import loaded  # imports torch

    rows = np.flatnonzero(found["reject_reason"].is_null().to_numpy())
    ids = pa.chunked_array([*found["passage_id"].take(pa.array(rows)).chunks, shard.positive_ids], pa.string())
    query = np.concatenate([rows_of(found["query_id"], shard.ids)[rows], shard.positive_queries])
    texts = passages.where("passage_id", ids.unique().to_pylist(), COLUMNS)
    pairs, place = np.unique(np.column_stack([query, rows_of(ids, texts["passage_id"])]), axis=0, return_inverse=True)

    asked = shard.queries["text"].to_pylist()
    read = texts_of(texts)
    model = loaded(models.locate(settings.model, _KEY), settings.max_length)
    scores = model.scores([asked[row] for row in pairs[:, 0]], [read[row] for row in pairs[:, 1]])[place]
    return Scored(rows, scores[: len(rows)], scores[len(rows) :])


def _column(rows: int, known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """NaN but in the rows `known`."""
    whole = np.full(rows, np.nan, np.float32)
    whole[known] = values
    return whole
