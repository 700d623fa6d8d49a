"""Puts are atomic, creates happen once."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from syneg.errors import BadInput, StoreError, Unreachable
from syneg.store import disk, files


def test_put_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = str(tmp_path / "folder" / "name")
    files.put(target, b"one")
    files.put(target, b"two")
    assert files.read(target) == b"two"
    assert list(files.files_below(str(tmp_path))) == [("folder/name", 3)]
    assert os.listdir(tmp_path / "folder") == ["name"]


def test_a_put_that_dies_leaves_the_old_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = str(tmp_path / "name")
    files.put(target, b"old")

    def dies(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", dies)
    with pytest.raises(KeyboardInterrupt):
        files.put(target, b"new")
    assert files.read(target) == b"old"
    assert list(files.files_below(str(tmp_path))) == [("name", 3)]  # the half-made one is no object


def test_of_many_creators_one_wins_and_its_content_stands(tmp_path: Path) -> None:
    target = str(tmp_path / "manifest.json")
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: files.create(target, b"%d" % number), range(32)))
    assert sum(won) == 1
    assert files.read(target) == b"%d" % won.index(True)
    assert os.listdir(tmp_path) == ["manifest.json"]


def test_a_root_that_is_not_writable_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"store\.root: .*file/inside is not writable"):
        files.check_writable(str(tmp_path / "file" / "inside"))


def test_looking_whether_a_root_is_writable_leaves_nothing(tmp_path: Path) -> None:
    files.check_writable(str(tmp_path))
    assert os.listdir(tmp_path) == []
    (tmp_path / ".writable").write_text("of another run, which looks at this moment")
    files.check_writable(str(tmp_path))
    assert os.listdir(tmp_path) == [".writable"]


def test_a_root_where_nothing_may_be_removed_is_named_and_holds_one_probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: str) -> None:
        raise Unreachable(f"{path}: AccessDenied")

    monkeypatch.setattr(disk, "delete", refused)
    for _ in range(3):
        with pytest.raises(BadInput, match=r"nothing there may be removed .*AccessDenied.*s3:DeleteObject"):
            files.check_writable(str(tmp_path))
    assert os.listdir(tmp_path) == [".writable"]


FULL = {errno.ENOSPC: "make room", errno.EFBIG: "raise the limit", errno.EACCES: "let this user write"}


@pytest.mark.parametrize(("number", "advice"), FULL.items())
def test_a_disk_that_is_full_or_refuses_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    files.put(f"{tmp_path}/name", b"old")

    def refuses(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuses)
    for write in (files.put, files.create):
        with pytest.raises(StoreError, match=rf"name cannot be written \(.*What is stored is kept: {advice}.* again"):
            write(f"{tmp_path}/name", b"new")
    assert os.listdir(tmp_path) == ["name"]
    assert files.read(f"{tmp_path}/name") == b"old"
    with pytest.raises(BadInput, match=rf"is not writable \({os.strerror(number)}\)"):
        files.check_writable(str(tmp_path))


def test_a_scheme_that_nobody_knows_is_refused() -> None:
    with pytest.raises(BadInput, match=r"'gs://bucket/name' .* expected s3://bucket/prefix"):
        files.read("gs://bucket/name")


@pytest.mark.parametrize("address", ["s3://", "s3:///x", "s3:/bucket/x", "s3:bucket/x", "S3://bucket/x", "s3://a@b/x"])
def test_half_an_address_is_no_folder_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for use in (files.exists, files.read, files.absolute, files.check_vacant, lambda path: files.join(path, "name")):
        with pytest.raises(BadInput, match=r"expected s3://bucket/prefix"):
            use(address)
    with pytest.raises(BadInput, match=r"expected s3://bucket/prefix"):
        files.put(files.join(address, "name"), b"")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "path", ["./s3:/x", "a:/x", "out", "/s3:/x", "package:name/path", "s3://bucket", "s3://b/a:/@b"]
)
def test_what_only_looks_like_half_an_address(path: str) -> None:
    assert files.join(path, "name") == f"{path}/name"


def test_a_place_is_vacant_with_an_empty_folder_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for vacant in ("empty", "none", "none/below"):
        files.check_vacant(str(tmp_path / vacant))
    for taken in ("", "file", "file/below"):
        with pytest.raises(BadInput, match=r"exists already.* Give a new"):
            files.check_vacant(str(tmp_path / taken))


def test_a_path_is_the_same_wherever_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert files.absolute("out") == str(tmp_path / "out")
    assert files.absolute("s3://bucket/out") == "s3://bucket/out"
