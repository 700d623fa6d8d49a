"""Arrays of ids: chunks in one array, and what stands how far down in its group."""

import numpy as np
import pyarrow as pa

from syneg.ids import in_one, nth_of_group


def test_chunks_of_all_columns_stand_in_one_array() -> None:
    columns = [pa.chunked_array([["a"], ["b", "c"]]), pa.array(["d"]), pa.chunked_array([], pa.string())]
    assert in_one(columns).equals(pa.array(["a", "b", "c", "d"]))
    assert in_one([pa.array([2]), pa.array([1])]).equals(pa.array([2, 1]))
    assert in_one([]).equals(pa.array([], pa.string()))


def test_rows_of_a_group_are_counted() -> None:
    groups, parts = np.array([5, 5, 5, 2, 7, 7]), np.array([1, 1, 2, 2, 2, 2])
    assert nth_of_group(groups).tolist() == [0, 1, 2, 0, 0, 1]
    assert nth_of_group(groups, parts).tolist() == [0, 1, 0, 0, 0, 1]
    assert nth_of_group(groups[:1]).tolist() == [0]
    assert nth_of_group(groups[:0], parts[:0]).tolist() == []
