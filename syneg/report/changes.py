"""The queries that gained and lost most, with what each model put first beside what was relevant."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from syneg.passages import texts_by_id
from syneg.positives import RELEVANT
from syneg.stage import Source

_EXTREMES = 5  # queries shown among the largest gains, and among the largest losses
_MOST_RELEVANT = 10  # passages shown of a query; hundreds may be judged relevant
_SYSTEMS = ("base", "tuned")


def by_query(scores: pa.Table) -> pa.Table:
    """Rows query_id, base, tuned, measure by query id, for the first measure: the one that the verdict goes by."""
    measure = scores["measure"][0].as_py()
    own = scores.filter(pc.field("measure") == measure).select(["system", "query_id", "value"])
    base, tuned = (
        own.filter(pc.field("system") == system).drop_columns("system").rename_columns(["query_id", system])
        for system in _SYSTEMS
    )
    both = base.join(tuned, "query_id", join_type="inner").sort_by("query_id")
    return both.append_column("measure", pa.array([measure] * both.num_rows, pa.string()))


def extremes(changes: pa.Table, tables: Mapping[str, Source], chars: int) -> dict[str, Any]:
    """How many queries won and lost, and the few that did so most, with texts cut at `chars`.

    `tables`: queries, passages, qrels and runs.
    """
    rows = changes.to_pylist()
    rows.sort(key=lambda row: (row["tuned"] - row["base"], row["query_id"]))
    losses = [row for row in rows if row["tuned"] < row["base"]]
    gains = [row for row in reversed(rows) if row["tuned"] > row["base"]]
    shown = _Texts.read(losses[:_EXTREMES] + gains[:_EXTREMES], tables, chars)
    return {
        "measure": rows[0]["measure"],
        "better": len(gains),
        "same": len(rows) - len(gains) - len(losses),
        "worse": len(losses),
        "losses": [shown.row(row) for row in losses[:_EXTREMES]],
        "gains": [shown.row(row) for row in gains[:_EXTREMES]],
    }


def shortened(text: str, chars: int) -> str:
    """`text` up to the length that somebody reads on a page."""
    return text if len(text) <= chars else f"{text[:chars]} … [{len(text) - chars:,} more characters]"


class _Texts:
    """What is shown of a few queries, read at once."""

    def __init__(self, queries: dict[str, str], passages: dict[str, str], relevant: dict[str, list[str]], ranks: dict):
        self._queries, self._passages, self._relevant, self._ranks = queries, passages, relevant, ranks

    @classmethod
    def read(cls, rows: list[dict[str, Any]], tables: Mapping[str, Source], chars: int) -> "_Texts":
        ids = [row["query_id"] for row in rows]
        queries = tables["queries"].where("query_id", ids, ["query_id", "text"]).to_pylist()
        relevant: dict[str, list[str]] = {}
        for row in tables["qrels"].where("query_id", ids).filter(RELEVANT).to_pylist():
            relevant.setdefault(row["query_id"], []).append(row["passage_id"])
        judged = pa.array(sorted({passage for passages in relevant.values() for passage in passages}), pa.string())
        wanted = (pc.field("rank") == 0) | pc.field("passage_id").isin(judged)
        runs = tables["runs"].where("query_id", ids).filter(pc.field("system").isin(pa.array(_SYSTEMS)) & wanted)
        ranks = {(row["system"], row["query_id"], row["passage_id"]): row["rank"] for row in runs.to_pylist()}
        needed = {passage for _, _, passage in ranks} | set(judged.to_pylist())
        found = texts_by_id(tables["passages"], sorted(needed))
        passages = {passage: shortened(text, chars) for passage, text in found.items()}
        return cls({row["query_id"]: shortened(row["text"], chars) for row in queries}, passages, relevant, ranks)

    def row(self, row: dict[str, Any]) -> dict[str, Any]:
        query = row["query_id"]
        return {
            **row,
            "text": self._queries[query],
            "relevant": [
                {"id": passage, "text": self._passages.get(passage, ""), **self._ranks_of(query, passage)}
                for passage in self._relevant.get(query, ())[:_MOST_RELEVANT]
            ],
            "more_relevant": max(0, len(self._relevant.get(query, ())) - _MOST_RELEVANT),
            "first": {system: self._first(system, query) for system in _SYSTEMS},
        }

    def _ranks_of(self, query: str, passage: str) -> dict[str, int | None]:
        """From 1, as people count; None below the depth of the ranking."""
        ranks = {system: self._ranks.get((system, query, passage)) for system in _SYSTEMS}
        return {system: None if rank is None else rank + 1 for system, rank in ranks.items()}

    def _first(self, system: str, query: str) -> dict[str, Any] | None:
        for (of_system, of_query, passage), rank in self._ranks.items():
            if (of_system, of_query, rank) == (system, query, 0):
                relevant = passage in self._relevant.get(query, ())
                return {"id": passage, "text": self._passages.get(passage, ""), "relevant": relevant}
        return None
