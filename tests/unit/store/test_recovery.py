"""What earlier attempts left: taken over whole, settled, checked, and never read as something else."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from syneg import schemas
from syneg.errors import StoreError
from syneg.keyset import KeySet
from syneg.store import files, manifest, parts, recovery, tables
from syneg.store.manifest import Manifest, Part


def answers(ids: list[str], tokens: int = 7, errors: tuple[str, ...] = ()) -> pa.Table:
    columns = {
        field.name: pa.nulls(len(ids), field.type) if field.nullable else pa.array([""] * len(ids)).cast(pa.string())
        for field in schemas.ANSWERS
    }
    whole = {name: pa.array([tokens] * len(ids), pa.int32()) for name in ("input_tokens", "output_tokens", "attempts")}
    given = {
        "negative_id": pa.array(ids, pa.string()),
        "seed": pa.array([0] * len(ids), pa.int64()),
        "error": pa.array([name if name in errors else None for name in ids], pa.string()),
    }
    return pa.table(columns | whole | given).select(schemas.ANSWERS.names).cast(schemas.ANSWERS)


def finished(
    root: str, name: str, written: list[Part], facts: dict[str, str] | None = None, table: str = "answers"
) -> None:
    made = Manifest(
        stage="generate",
        fingerprint=name,
        tables={table: written},
        folders={},
        rows_in=0,
        rows_out=0,
        rejected={},
        seconds=0.0,
        facts=facts or {},
        settings={},
        versions={},
        finished="",
    )
    assert manifest.publish(root, made)


@pytest.mark.parametrize("damage", ["truncated footer", "flipped byte", "zero bytes", "wrong schema"])
def test_a_damaged_part_is_named_and_never_read(tmp_path: Path, damage: str) -> None:
    part = parts.put(answers(["a", "b"]), str(tmp_path), "answers")
    path = tmp_path / "answers" / part.name
    content = path.read_bytes()
    if damage == "wrong schema":
        path.unlink()
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"negative_id": ["a", "b"]}), sink)
        content = sink.getvalue().to_pybytes()
        named = parts._part(pa.table({"negative_id": ["a", "b"]}), content)
        path = path.with_name(named.name)
        path.write_bytes(content)
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"truncated footer": content[:-5], "flipped byte": flipped, "zero bytes": b""}[damage])
    with pytest.raises(StoreError, match=path.name):
        recovery.recover(str(tmp_path), "answers")
    with pytest.raises(StoreError, match=part.name):
        tables.StoredTable(str(tmp_path / "answers"), (part,)).table()


def test_rows_put_twice_are_one_object(tmp_path: Path) -> None:
    assert parts.put(answers(["a"]), str(tmp_path), "answers") == parts.put(answers(["a"]), str(tmp_path), "answers")
    found = recovery.recover(str(tmp_path), "answers")
    assert len(found.parts) == len(found.keys) == found.rows.table().num_rows == 1


def test_rows_of_other_outputs_are_taken_over_once_and_not_their_errors(tmp_path: Path) -> None:
    root = str(tmp_path)
    own, done, dead = (manifest.output_folder(root, "generate", name) for name in ("own", "done", "dead"))
    parts.put(answers(["mine"]), own, "answers")
    listed = parts.put(answers(["a", "b", "failed"], errors=("failed",)), done, "answers")
    parts.put(answers(["unlisted"]), done, "answers")
    finished(root, "done", [listed])
    parts.put(answers(["b", "c"], tokens=9), dead, "answers")  # killed before its manifest
    damaged = parts.put(answers(["d"]), dead, "answers")
    files.put(files.join(dead, "answers", damaged.name), b"")
    earlier = recovery.Earlier(root, "generate", "own", "answers", {})
    named = ("a", "b", "c", "d", "mine", "unlisted", "failed")
    assert [name in earlier.keys for name in named] == [True] * 3 + [False] * 4
    rows = pa.concat_tables(earlier.rows(KeySet.of(named)))
    assert sorted(rows["negative_id"].to_pylist()) == ["a", "b", "c"]
    assert list(earlier.rows(KeySet())) == []


def test_what_must_be_known_of_an_output_is_looked_up_in_its_manifest(tmp_path: Path) -> None:
    root = str(tmp_path)
    for name, facts in (("same", {"encoder": "one", "more": ""}), ("other", {"encoder": "two"}), ("old", None)):
        folder = manifest.output_folder(root, "generate", name)
        finished(root, name, [parts.put(answers([f"of {name}"]), folder, "answers")], facts)
    parts.put(answers(["of dead"]), manifest.output_folder(root, "generate", "dead"), "answers")  # has no manifest
    earlier = recovery.Earlier(root, "generate", "own", "answers", {"encoder": "one"})
    found = [name for name in ("same", "other", "old", "dead") if f"of {name}" in earlier.keys]
    assert found == ["same"]


def test_another_output_that_is_damaged_gives_nothing(tmp_path: Path) -> None:
    """No manifest here depends on it. A part of vectors does not even show its dimensions any more."""
    root = str(tmp_path)
    for name in ("damaged", "gone", "unreadable"):
        folder = manifest.output_folder(root, "generate", name)
        rows = pa.table([["a"], pa.array([b"1234"], pa.binary(4)), [name]], schema=schemas.embeddings(2))
        part = parts.put(rows, folder, "passage_vectors")
        finished(root, name, [part], {"encoder": "one"}, table="passage_vectors")
        files.put(files.join(folder, "passage_vectors", part.name), b"") if name == "damaged" else None
        (tmp_path / "generate" / name / "passage_vectors" / part.name).unlink() if name == "gone" else None
    (tmp_path / "generate" / "unreadable" / "manifest.json").write_text("{")
    earlier = recovery.Earlier(root, "generate", "own", "passage_vectors", {"encoder": "one"})
    assert not len(earlier.keys)
    assert list(earlier.rows(KeySet.of(["damaged", "gone", "unreadable"]))) == []


def test_nothing_was_before(tmp_path: Path) -> None:
    earlier = recovery.Earlier(str(tmp_path), "generate", "own", "answers", {})
    assert not len(earlier.keys)
    assert list(earlier.rows(KeySet.of("a"))) == []


def test_many_small_parts_are_read_in_their_order_and_in_few_tasks(tmp_path: Path) -> None:
    written = [parts.put(answers([f"{number:03d}"]), str(tmp_path), "answers") for number in range(50)]
    table = tables.StoredTable(str(tmp_path / "answers"), tuple(written))
    assert table.table(["negative_id"])["negative_id"].to_pylist() == [f"{number:03d}" for number in range(50)]
    assert [part for group in tables._groups(written) for part in group] == written
    assert len(tables._groups(written)) == 1
    large = [Part(name=str(number), bytes=40 * 2**20, sha256="") for number in range(5)]
    assert [len(group) for group in tables._groups(large)] == [1] * 5
