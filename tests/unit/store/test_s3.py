"""Object storage, on a real server, with and without trouble on the way."""

import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from syneg.errors import BadInput, StoreError, Unreachable
from syneg.store import digests, files, folders, models, retries, retry_count
from tests import faulty_proxy

MIB = 2**20


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts that are too short to notice."""
    monkeypatch.setattr(retries, "_FIRST_WAIT_SECONDS", 0.001)


def test_objects_are_as_files_are(s3_root: str) -> None:
    files.check_writable(s3_root)
    assert not files.exists(s3_root)
    files.put(f"{s3_root}/folder/b", b"one")
    files.put(f"{s3_root}/folder/b", b"second")
    files.put(f"{s3_root}/a", b"")
    assert files.read(f"{s3_root}/folder/b") == b"second"
    assert [files.exists(f"{s3_root}{path}") for path in ("", "/", "/folder", "/folder/b", "/fold")] == [True] * 4 + [
        False
    ]
    assert list(files.files_below(s3_root)) == [("a", 0), ("folder/b", 6)]
    files.delete(f"{s3_root}/a")
    files.delete(f"{s3_root}/a")
    assert list(files.files_below(s3_root)) == [("folder/b", 6)]
    with pytest.raises(FileNotFoundError):
        files.read(f"{s3_root}/a")
    with pytest.raises(FileNotFoundError):
        files.open_read(f"{s3_root}/a")


def test_a_key_is_taken_as_it_is(s3_root: str) -> None:
    root = f"{s3_root}/x?versionId=3"
    files.check_writable(root)
    files.put(f"{root}/a#b%20c", b"one")
    assert files.read(f"{root}/a#b%20c") == files.open_read(f"{root}/a#b%20c").read() == b"one"
    assert list(files.files_below(s3_root)) == [("x?versionId=3/a#b%20c", 3)]


def test_of_many_creators_one_wins_and_its_content_stands(s3_root: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: files.create(f"{s3_root}/manifest", b"%d" % number), range(16)))
    assert sum(won) == 1
    assert files.read(f"{s3_root}/manifest") == b"%d" % won.index(True)


def test_what_is_large_goes_in_pieces_and_a_put_that_dies_leaves_nothing(s3_root: str) -> None:
    content = random.Random(1).randbytes(33 * MIB)
    files.put_chunks(f"{s3_root}/large", (content[start : start + 3 * MIB] for start in range(0, 33 * MIB, 3 * MIB)))
    with files.open_read(f"{s3_root}/large") as file:
        assert file.read(17 * MIB) + file.read() == content

    def dies():
        yield content
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.put_chunks(f"{s3_root}/dead", dies())
    assert not files.exists(f"{s3_root}/dead")


def test_an_object_that_is_replaced_while_it_is_read_is_no_mixture(s3_root: str) -> None:
    files.put(f"{s3_root}/name", b"x" * (17 * MIB))
    with files.open_read(f"{s3_root}/name") as file:
        file.read(MIB)
        files.put(f"{s3_root}/name", b"y" * (17 * MIB))
        with pytest.raises(StoreError, match="was replaced while it was read"):
            file.read()


def test_a_third_of_all_requests_failing_costs_time_alone(
    s3_url: str, s3_root: str, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    chance = random.Random(7)
    kinds: list[faulty_proxy.Fault] = ["503", "503", "500", "reset", "lost", "cut", "slow"]
    with faulty_proxy.before(s3_url, lambda *_: chance.choice(kinds) if chance.random() < 0.3 else None) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        before = retry_count.retries()
        content = {f"{number:02d}": random.Random(number).randbytes(50_000) for number in range(40)}
        for name, value in content.items():
            assert files.create(f"{s3_root}/{name}", value), name
        assert {name: files.read(f"{s3_root}/{name}") for name in content} == content
        large = random.Random(3).randbytes(40 * MIB)
        files.put_chunks(f"{s3_root}/large", [large])
        assert files.open_read(f"{s3_root}/large").read() == large
        assert len(list(files.files_below(s3_root))) == 41
        # A slow body costs none, an answer without a body cannot be cut, and aiohttp itself repeats some resets.
        surely = proxy.injected["503"] + proxy.injected["500"]
        assert 10 < surely <= retry_count.retries() - before <= proxy.injected.total() - proxy.injected["slow"]


def test_a_create_whose_answer_was_lost_is_ours(
    s3_url: str, s3_root: str, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    with faulty_proxy.before(s3_url, lambda method, path, number: "lost" if number == 0 else None) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        assert files.create(f"{s3_root}/manifest", b"ours")
        assert not files.create(f"{s3_root}/manifest", b"theirs")
    assert proxy.injected == {"lost": 1}


def test_a_server_that_stays_down_ends_the_job_with_what_to_do(
    s3_url: str, s3_root: str, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    with faulty_proxy.before(s3_url, lambda *_: "503") as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        with pytest.raises(Unreachable, match=r"SlowDown .* 10 times in a row. What is stored is kept"):
            files.put(f"{s3_root}/name", b"")


def test_what_does_not_pass_ends_at_once(s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = retry_count.retries()
    with pytest.raises(Unreachable, match=r"NoSuchBucket .* create it, or mend the address"):
        files.exists("s3://no-such-bucket/root")
    with pytest.raises(BadInput, match="no credentials in it"):
        files.read("s3://key:secret@bucket/name")
    # Another endpoint than before is another connection, so that the wrong key is used.
    monkeypatch.setenv("AWS_ENDPOINT_URL", os.environ["AWS_ENDPOINT_URL"] + "/")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(Unreachable, match=r"SignatureDoesNotMatch .* secret key does not fit"):
        files.read(f"{s3_root}/name")
    with pytest.raises(BadInput, match=r"store\.root: .* is not writable .*secret key does not fit"):
        files.check_writable(s3_root)
    assert retry_count.retries() == before


def test_a_server_that_replaces_what_was_to_be_created_once_is_refused(
    s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from syneg.store import s3

    def replaces(path: str, content: bytes) -> bool:
        s3.put_chunks(path, [content])
        return True

    monkeypatch.setattr(s3, "create", replaces)
    with pytest.raises(BadInput, match="honours If-None-Match"):
        files.check_writable(s3_root)


def test_a_model_is_brought_once_a_node_and_has_the_digest_that_it_has_on_a_disk(
    s3_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNEG_CACHE", str(tmp_path / "cache"))
    source = tmp_path / "my-model"
    (source / "1_Pooling").mkdir(parents=True)
    for name in ("config.json", "1_Pooling/config.json", "README.md"):
        (source / name).write_text(name)
    folders.put(source, f"{s3_root}/my-model")
    without_card = digests.of_folder(str(source), without="README.md")
    assert models.digest(f"{s3_root}/my-model") == models.digest(str(source)) == without_card
    assert without_card != digests.of_folder(str(source))
    with ThreadPoolExecutor(4) as pool:
        places = set(pool.map(lambda _: models.locate(f"{s3_root}/my-model"), range(8)))
    (place,) = places
    assert sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()) == [
        "1_Pooling/config.json",
        "README.md",
        "config.json",
    ]
    assert place == models.servable(f"{s3_root}/my-model")
    monkeypatch.setenv(models.ENGINE_MODEL, f"{s3_root}/my-model")
    models.bring_for_vllm()
    files.put(f"{s3_root}/my-model/config.json", b"other weights")
    assert models.locate(f"{s3_root}/my-model") != place
    with pytest.raises(BadInput, match="no model at"):
        models.locate(f"{s3_root}/nothing")
    with pytest.raises(BadInput, match=r"is a folder without config\.json"):
        models.check(s3_root)


def test_folders_live_there_too(s3_root: str, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "weights").write_bytes(b"1234")
    folder = f"{s3_root}/attempt/step-00000001-a"
    parts = folders.put(tmp_path / "source", folder)
    assert folders.whole(f"{s3_root}/attempt") == []
    folders.seal(folder, parts)
    assert folders.whole(f"{s3_root}/attempt") == [folder]
    folders.fetch(folder, tmp_path / "here")
    assert (tmp_path / "here" / "weights").read_bytes() == b"1234"
    folders.remove(folder)
    assert not files.exists(f"{s3_root}/attempt")
