"""What is packed comes back, whatever its type and its layout; what is stored is float16, little-endian."""

import numpy as np
import pyarrow as pa
import pytest

from syneg import schemas
from syneg.vectors import bytes_each, pack, unpack

VALUES = np.arange(12).reshape(4, 3)


@pytest.mark.parametrize("values", [VALUES.astype(np.float32), VALUES.astype("<f2"), VALUES.astype(">f2"), VALUES.T])
def test_a_row_is_its_numbers_in_float16(values: np.ndarray) -> None:
    packed = pack(values)
    assert packed.type == schemas.vectors(values.shape[1]).field("vector").type
    assert packed.to_pylist() == [row.astype("<f2").tobytes() for row in values]
    assert packed.type.byte_width == bytes_each(values.shape[1])
    assert (unpack(packed) == values).all()


def test_slices_and_chunks_are_read() -> None:
    assert (unpack(pack(VALUES).slice(1, 2)) == VALUES[1:3]).all()
    assert (unpack(pa.chunked_array([pack(VALUES[:1]), pack(VALUES[1:])]).slice(1)) == VALUES[1:]).all()


def test_no_rows_have_dimensions_too() -> None:
    assert unpack(pack(VALUES[:0])).shape == (0, 3)


def test_float16_is_not_copied() -> None:
    values = VALUES.astype(np.float16)
    assert np.shares_memory(unpack(pack(values)), values)
