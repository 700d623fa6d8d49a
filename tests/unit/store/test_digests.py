"""What tells whether a file has to be read again, and where that is remembered."""

import os
from pathlib import Path

import pytest

from syneg.errors import BadInput
from syneg.store import digests


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNEG_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("_own_cache")
def test_another_content_of_the_same_size_and_time_is_noticed(tmp_path: Path) -> None:
    def aged(path: Path, content: str) -> Path:
        path.write_text(content)
        os.utime(path, ns=(10**18, 10**18))
        return path

    path = aged(tmp_path / "file", "one")
    first = digests.of_file(str(path))
    second = digests.of_file(str(aged(path, "two")))
    aged(tmp_path / "other", "six").replace(path)
    assert len({first, second, digests.of_file(str(path))}) == 3


@pytest.mark.usefixtures("_own_cache")
def test_a_file_that_stands_as_it_was_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    found = digests.of_file(str(path))

    def never(path: str) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(digests.files, "open_read", never)
    assert digests.of_file(str(path)) == found


def test_without_a_home_folder_the_cache_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("SYNEG_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", unknown)
    with pytest.raises(BadInput, match=r"no home folder .* by SYNEG_CACHE"):
        digests.cache_folder()
    monkeypatch.setenv("SYNEG_CACHE", str(tmp_path))
    assert digests.cache_folder() == tmp_path
