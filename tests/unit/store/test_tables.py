"""Tables as parts: what was written is what is read, and nothing else is."""

from pathlib import Path

import pyarrow as pa
import pytest

from syneg import rejection, schemas
from syneg.errors import StoreError
from syneg.store import files, recovery, tables
from syneg.store.manifest import Part


def synthetic(ids: list[str], reasons: list[str | None] | None = None) -> pa.Table:
    columns = {
        field.name: pa.nulls(len(ids), field.type)
        if field.nullable
        else pa.nulls(len(ids), field.type).fill_null(0 if pa.types.is_integer(field.type) else "")
        for field in schemas.SYNTHETIC
    }
    columns |= {"negative_id": pa.array(ids), "reject_reason": pa.array(reasons or [None] * len(ids), pa.string())}
    return pa.table(columns, schema=schemas.SYNTHETIC)


def stored(folder: Path, parts: list[Part], table: str = "synthetic") -> tables.StoredTable:
    return tables.StoredTable(str(folder / table), tuple(parts))


def test_write_and_the_four_ways_to_read(tmp_path: Path) -> None:
    rows = synthetic(["a", "b", "c"])
    parts = tables.write(rows, str(tmp_path), "synthetic")
    table = stored(tmp_path, parts)
    assert table.table().equals(rows)
    assert pa.concat_tables(table.blocks()).equals(rows)
    assert table.where("negative_id", ["c", "x"], ["negative_id"]).to_pylist() == [{"negative_id": "c"}]
    assert table.table(["seed"]).column_names == ["seed"]


def test_parts_count_rows_and_reasons(tmp_path: Path) -> None:
    blocks = [synthetic(["a", "b"], ["empty", None]), synthetic(["c"], ["empty"]), synthetic([])]
    parts = tables.write(iter(blocks), str(tmp_path), "synthetic")
    assert [(part.rows, part.rejected) for part in parts] == [(2, {"empty": 1}), (1, {"empty": 1})]
    assert stored(tmp_path, parts).table().num_rows == 3


def test_a_table_without_rows_has_a_part(tmp_path: Path) -> None:
    parts = tables.write(iter([]), str(tmp_path), "synthetic")
    assert stored(tmp_path, parts).table().equals(synthetic([]))


def test_files_that_no_manifest_lists_are_not_read(tmp_path: Path) -> None:
    parts = tables.write(synthetic(["a"]), str(tmp_path), "synthetic")
    tables.write(synthetic(["orphan"]), str(tmp_path), "synthetic")
    assert stored(tmp_path, parts).table()["negative_id"].to_pylist() == ["a"]


def test_rows_that_do_not_fit_the_schema_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="missing columns"):
        tables.write(pa.table({"negative_id": ["a"]}), str(tmp_path), "synthetic")
    nothing = synthetic(["a"]).set_column(0, "negative_id", pa.array([None], pa.string()))
    with pytest.raises(StoreError, match="null values"):
        tables.write(nothing, str(tmp_path), "synthetic")


def test_a_reason_that_is_on_no_list_is_refused(tmp_path: Path) -> None:
    tables.write(synthetic(["a", "b"], [None, "too_short"]), str(tmp_path), "synthetic")
    with pytest.raises(StoreError, match="synthetic: rejected for too_shrot"):
        tables.write(synthetic(["c", "d"], [None, "too_shrot"]), str(tmp_path), "synthetic")


def test_every_table_with_a_reason_has_a_list() -> None:
    declared = {table: getattr(schemas, table.upper()) for table in schemas.KEYS if not table.endswith("_vectors")}
    assert {table for table, schema in declared.items() if "reject_reason" in schema.names} == set(rejection.REASONS)


def test_recover_settles_keys_that_are_in_two_parts(tmp_path: Path) -> None:
    for ids in (["a", "b"], ["b", "c"], ["a"], ["d"]):
        tables.write(synthetic(ids), str(tmp_path), "synthetic")
    found = recovery.recover(str(tmp_path), "synthetic")
    assert len(found.keys) == 4
    assert all(key in found.keys for key in "abcd")
    assert "e" not in found.keys
    for rows in (found.rows, stored(tmp_path, list(found.parts))):
        assert sorted(rows.table()["negative_id"].to_pylist()) == ["a", "b", "c", "d"]


def test_recover_of_nothing(tmp_path: Path) -> None:
    found = recovery.recover(str(tmp_path), "synthetic")
    assert found.parts == ()
    assert list(found.rows.blocks()) == []
    assert "a" not in found.keys


def test_a_damaged_part_is_named_and_never_read(tmp_path: Path) -> None:
    (part,) = tables.write(synthetic(["a"]), str(tmp_path), "synthetic")
    path = files.join(str(tmp_path), "synthetic", part.name)
    content = files.read(path)
    for damaged in (b"", content[:-3], content[:50] + b"?" + content[51:]):
        files.put(path, damaged)
        with pytest.raises(StoreError, match=f"{part.name} is damaged"):
            stored(tmp_path, [part]).table()
