"""What must hold between the files: ids are unique, judgements name what exists, a pair is judged in one way."""

# Arrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from syneg.corpus.collection import Collection, Judgements, blank_rows, refuse_duplicates
from syneg.errors import BadInput

_EXAMPLES = 3


def passage_ids(collection: Collection, progress: Callable[[str], None]) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """The ids, and those of them whose passages are blank.

    By a whole pass over the passages, so that whatever is wrong with one of them is found here.
    """
    ids: list[pa.Array] = []
    blank: list[pa.Array] = []
    lines: list[pa.Array] = []
    rows = 0
    for batch in collection.passages():
        ids.append(batch["id"])
        blank.append(batch["id"].filter(blank_rows(batch)))
        lines.append(batch["line"])
        rows += batch.num_rows
        progress(f"{rows:,} passages checked")
    if not rows:
        raise BadInput(f"{collection.passages_path}: no passages in it. Expected one a line.")
    all_ids = pa.chunked_array(ids, pa.string())
    refuse_duplicates(collection.passages_path, all_ids, pa.chunked_array(lines, pa.int64()))
    return all_ids, pa.chunked_array(blank, pa.string())


def existing(
    judgements: Judgements,
    passage_ids: pa.ChunkedArray,
    query_ids: pa.ChunkedArray,
    on_missing: Literal["refuse", "drop"],
    rejected: Counter[str],
) -> pa.Table:
    """The judgements whose passage and query exist, each pair once.

    Raises:
        BadInput: one of them does not exist and `on_missing` is not "drop", or a pair has two relevances.
    """
    rows = judgements.rows
    no_passage = pc.invert(pc.is_in(rows["passage_id"], value_set=passage_ids))
    no_query = pc.invert(pc.is_in(rows["query_id"], value_set=query_ids))
    missing = pc.or_(no_passage, no_query)
    count = pc.sum(missing).as_py() or 0
    if count and on_missing == "refuse":
        first = rows.append_column("no_passage", no_passage).filter(missing).slice(0, _EXAMPLES).to_pylist()
        examples = "; ".join(map(_missing, first)) + (" ..." if count > _EXAMPLES else "")
        raise BadInput(
            f"{judgements.path}:{first[0]['line']}: {count} of {len(rows)} judgements name a passage or query that "
            f"does not exist: {examples}. Expected every id to stand in the collection; corpus.on_missing=drop goes on "
            "without those judgements."
        )
    rejected["missing_target"] += count
    return _once(judgements.path, rows.filter(pc.invert(missing)), rejected)


def _missing(row: Mapping[str, object]) -> str:
    kind = "passage" if row["no_passage"] else "query"
    return f"line {row['line']} {kind} {row[f'{kind}_id']!r}"


def _once(path: str, rows: pa.Table, rejected: Counter[str]) -> pa.Table:
    """`rows` without repetitions."""
    pairs = rows.group_by(["query_id", "passage_id"]).aggregate(
        [("relevance", "min"), ("relevance", "max"), ("line", "min"), ("line", "max")]
    )
    if len(pairs) == len(rows):
        return rows
    torn = pairs.filter(pc.not_equal(pairs["relevance_min"], pairs["relevance_max"])).sort_by("line_max")
    if len(torn):
        row = torn.slice(0, 1).to_pylist()[0]
        raise BadInput(
            f"{path}:{row['line_max']}: query {row['query_id']!r} and passage {row['passage_id']!r} stood on line "
            f"{row['line_min']} already, with another relevance. Expected one relevance a pair."
        )
    rejected["repeated_judgement"] += len(rows) - len(pairs)
    return rows.filter(pc.is_in(rows["line"], value_set=pairs["line_min"]))
