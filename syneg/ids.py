"""Row numbers for string ids, so that the hot paths work on integers."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def in_one(columns: Iterable[pa.ChunkedArray | pa.Array]) -> pa.Array:
    """The values of all `columns`, which are of one type, one after the other; of strings where there is none."""
    chunks = [
        chunk for column in columns for chunk in (column.chunks if isinstance(column, pa.ChunkedArray) else [column])
    ]
    return pa.concat_arrays(chunks) if chunks else pa.array([], pa.string())


def rows_of(ids: pa.ChunkedArray | pa.Array, among: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """For each of `ids` its row in `among`, -1 where it is not there: int64 [N]."""
    values = among.combine_chunks() if isinstance(among, pa.ChunkedArray) else among
    found = pc.call_function("index_in", [ids], pc.SetLookupOptions(value_set=values))
    return found.fill_null(-1).to_numpy().astype(np.int64)


def renumbered(rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of `count` rows occur in `rows` (int64, any shape), in order; `rows` as places among these, -1 as it is."""
    occurs = np.zeros(count + 1, bool)
    occurs[rows] = True  # -1 is the last
    occurs[-1] = False
    place = np.cumsum(occurs) - 1
    place[-1] = -1
    return np.flatnonzero(occurs), place[rows]


def order_of(ids: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """For each of `ids` its place in their sorted order: int64 [N]."""
    place = np.empty(len(ids), dtype=np.int64)
    place[pc.call_function("sort_indices", [ids], pc.SortOptions()).to_numpy()] = np.arange(len(ids))
    return place


def nth_of_group(*codes: np.ndarray) -> np.ndarray:
    """For each of N rows how many of its group stand before it: int64 [N].

    `codes` [N]: rows that are equal in all of them are a group, and stand together.
    """
    count = len(codes[0])
    starts = np.flatnonzero(np.r_[True, np.any([code[1:] != code[:-1] for code in codes], axis=0)][:count])
    return np.arange(count) - np.repeat(starts, np.diff(starts, append=count))
