"""Columns are replaced by values of other libraries, and rows chosen by whether they were rejected."""

import numpy as np
import pyarrow as pa

from syneg.schemas import ACCEPTED, CANDIDATES, with_columns

ROWS = pa.table(
    [["q1", "q2"], ["p1", "p2"], ["bm25"] * 2, [0, 1], *[[None] * 2] * 7, [None, "positive"]], schema=CANDIDATES
)


def test_columns_keep_their_places_and_types() -> None:
    reasons = np.array(["short_query", None], object)
    made = with_columns(ROWS, place=np.array([np.nan, 3]), score=[1, 2], reject_reason=reasons)
    assert made.schema.equals(CANDIDATES)
    assert [made[name].to_pylist() for name in ("place", "score", "reject_reason")] == [
        [None, 3],
        [1, 2],
        ["short_query", None],
    ]
    same = [name for name in CANDIDATES.names if name not in ("place", "score", "reject_reason")]
    assert made.select(same).equals(ROWS.select(same))


def test_what_has_no_reason_is_accepted() -> None:
    assert ROWS.filter(ACCEPTED)["passage_id"].to_pylist() == ["p1"]
    assert ROWS.filter(~ACCEPTED)["passage_id"].to_pylist() == ["p2"]
