"""Folders: whole or not there, whoever dies when."""

from pathlib import Path

import pytest

from syneg.errors import StoreError
from syneg.store import files, folders


def source(folder: Path, **texts: str) -> Path:
    (folder / "inner").mkdir(parents=True)
    for name, text in texts.items():
        (folder / "inner" / name).write_text(text)
    return folder


def test_two_processes_put_one_seals_and_any_fetches(tmp_path: Path) -> None:
    below = str(tmp_path / "attempt")
    folder = files.join(below, "step-00000002-x")
    parts = folders.put(source(tmp_path / "rank0", a="0"), folder) + folders.put(
        source(tmp_path / "rank1", b="1"), folder
    )
    assert [part.name for part in parts] == ["inner/a", "inner/b"]
    assert folders.whole(below) == []
    folders.seal(folder, parts)
    assert folders.whole(below) == [folder]
    folders.fetch(folder, tmp_path / "here")
    assert [(tmp_path / "here" / "inner" / name).read_text() for name in "ab"] == ["0", "1"]


def test_the_newest_whole_one_comes_first_and_one_without_a_seal_does_not_count(tmp_path: Path) -> None:
    below = str(tmp_path / "attempt")
    for name in ("step-00000100-b", "step-00000020-a", "step-00000300-c"):
        folder = files.join(below, name)
        parts = folders.put(source(tmp_path / name, a=name), folder)
        if name != "step-00000300-c":  # died before
            folders.seal(folder, parts)
    assert [name.rpartition("/")[2] for name in folders.whole(below)] == ["step-00000100-b", "step-00000020-a"]
    with pytest.raises(StoreError, match="not whole"):
        folders.fetch(files.join(below, "step-00000300-c"), tmp_path / "here")
    folders.remove(files.join(below, "step-00000100-b"))
    assert [name.rpartition("/")[2] for name in folders.whole(below)] == ["step-00000020-a"]
    assert folders.whole(str(tmp_path / "nothing")) == []


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    folder = str(tmp_path / "attempt" / "one")
    folders.seal(folder, folders.put(source(tmp_path / "source", a="text"), folder))
    if damage == "cut":
        files.put(f"{folder}/inner/a", b"tex")
    else:
        files.delete(f"{folder}/inner/a")
    with pytest.raises(StoreError, match="inner/a"):
        folders.fetch(folder, tmp_path / "here")
