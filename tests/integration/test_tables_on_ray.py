"""Tables read over Ray Data."""

from pathlib import Path

import pyarrow as pa
import pytest

from syneg import schemas
from syneg.store import tables

pytestmark = pytest.mark.usefixtures("ray_session")


def passages(count: int) -> pa.Table:
    ids = [f"p{row:03d}" for row in range(count)]
    return pa.table([ids, [""] * count, [f"text {row}" for row in range(count)]], schema=schemas.PASSAGES)


def test_what_was_written_is_what_many_tasks_read(tmp_path: Path) -> None:
    rows = passages(100)
    blocks = (rows.slice(start, 30) for start in range(0, 100, 30))
    parts = tables.write(blocks, str(tmp_path), "passages")
    assert len(parts) == 4
    stored = tables.StoredTable(str(tmp_path / "passages"), tuple(parts))
    read = sorted(row["passage_id"] for row in stored.dataset().take_all())
    assert read == rows["passage_id"].to_pylist()
