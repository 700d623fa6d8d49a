"""Tables written and read over Ray Data."""

from pathlib import Path

import pyarrow as pa
import pytest
import ray.data

from syneg import schemas
from syneg.store import tables

pytestmark = pytest.mark.usefixtures("ray_session")


def passages(count: int) -> pa.Table:
    ids = [f"p{row:03d}" for row in range(count)]
    return pa.table([ids, [""] * count, [f"text {row}" for row in range(count)]], schema=schemas.PASSAGES)


def test_what_many_tasks_write_is_what_many_tasks_read(tmp_path: Path) -> None:
    heard: list[str] = []
    rows = passages(100)
    dataset = ray.data.from_arrow(rows).repartition(target_num_rows_per_block=30)
    parts = tables.write(dataset, str(tmp_path), "passages", heard.append)
    assert sum(part.rows for part in parts) == 100
    assert len(parts) > 1
    assert heard[-1] == "100 rows"
    stored = tables.StoredTable(str(tmp_path / "passages"), tuple(parts))
    assert stored.table().sort_by("passage_id").equals(rows)
    read = sorted(row["passage_id"] for row in stored.dataset().take_all())
    assert read == rows["passage_id"].to_pylist()


def test_empty_blocks_write_nothing(tmp_path: Path) -> None:
    dataset = ray.data.from_arrow(passages(10)).repartition(target_num_rows_per_block=2)

    def nothing(batch: pa.Table) -> pa.Table:
        return batch.slice(0, 0)

    kept = dataset.map_batches(nothing, batch_format="pyarrow")
    assert tables.write(kept, str(tmp_path), "passages", print) == []
