"""Measures of a ranking, query by query, computed by ir-measures (trec_eval's definitions)."""

import re

import ir_measures
import pyarrow as pa

from syneg import schemas
from syneg.errors import BadInput
from syneg.settings.evaluate import MEASURE_FORMS, MEASURE_PATTERN

_FAMILIES = {"nDCG": ir_measures.nDCG, "MRR": ir_measures.RR, "Recall": ir_measures.R}

PER_QUERY = pa.schema([schemas.SCORES.field(name) for name in ("measure", "query_id", "value")])


def parse(name: str) -> ir_measures.Measure:
    """The measure that `name` stands for: "nDCG@10", "MRR@10", "Recall@100" (any cutoff) or "MAP".

    nDCG takes the judgements as gains, linearly; the others count a judgement of 1 or more as relevant.

    Raises:
        BadInput: another name.
    """
    if not re.fullmatch(MEASURE_PATTERN, name):
        raise BadInput(f"evaluate.measures: {name!r} is not a measure; expected {MEASURE_FORMS}.")
    family, _, cutoff = name.partition("@")
    return _FAMILIES[family] @ int(cutoff) if cutoff else ir_measures.AP


def per_query(ranking: pa.Table, qrels: pa.Table, names: tuple[str, ...]) -> pa.Table:
    """Scores of one system.

    Args:
        ranking: `schemas.RANKING`. The order is that of `rank`; `score` is not looked at, so that a tie between scores
            is broken here as it was broken there (trec_eval would break it by id, from the end).
        qrels: `schemas.QRELS`. Every query with a relevant passage is scored; one that the ranking lacks gets 0.
        names: see `parse`.

    Returns:
        `PER_QUERY`: measure, query_id, value in [0, 1]; in the order of `names`, then of ids.
    """
    measures = {parse(name): name for name in names}
    judged = _by_query(qrels, "relevance")
    judged = {query: passages for query, passages in judged.items() if max(passages.values()) > 0}
    run = _by_query(ranking, "rank", sign=-1)
    found = ir_measures.iter_calc(list(measures), judged, run) if judged else ()
    rows = [
        {"measure": measures[metric.measure], "query_id": metric.query_id, "value": float(metric.value)}
        for metric in found
        if metric.query_id in judged
    ]
    rows.sort(key=lambda row: (names.index(row["measure"]), row["query_id"]))
    return pa.Table.from_pylist(rows, schema=PER_QUERY)


def _by_query(table: pa.Table, column: str, sign: int = 1) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    rows = zip(*(table[name].to_pylist() for name in ("query_id", "passage_id", column)), strict=True)
    for query_id, passage_id, value in rows:
        found.setdefault(query_id, {})[passage_id] = sign * value
    return found
