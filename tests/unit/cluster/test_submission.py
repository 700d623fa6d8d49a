"""Where a job may go, what is sent, and under which id."""

from pathlib import Path
from typing import Any

import pytest

from syneg.cluster import address
from syneg.cluster.client import _Log
from syneg.cluster.job import attempt, exit_code, job, runtime_env
from syneg.config import overrides
from syneg.config.run import RunConfig
from syneg.errors import BadInput

ROOT = Path(__file__).parents[3]
S3 = "store.root=s3://bucket/syneg"


@pytest.fixture(autouse=True)
def _nobody_has_a_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(ROOT)


def demo(*settings: str) -> RunConfig:
    return overrides.load("configs/demo.yaml", settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.8.8.8"])
def test_this_machine_needs_neither_token_nor_tls(host: str) -> None:
    address.check(f"http://{host}:8265", insecure=False)


@pytest.mark.parametrize(
    "host", ["10.0.0.4", "head.example.com", "0.0.0.0", "localhost.example.com", "127.0.0.1.nip.io"]
)
def test_beyond_it_a_token_and_tls_are_demanded(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=r"no token is set.* and http sends"):
        address.check(f"http://{host}:8265", insecure=False)
    with pytest.raises(BadInput, match="no token is set"):
        address.check(f"https://{host}", insecure=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "t" * 32)
    with pytest.raises(BadInput, match="clear text"):
        address.check(f"http://{host}:8265", insecure=False)
    address.check(f"https://{host}", insecure=False)
    address.check(f"http://{host}:8265", insecure=True)


@pytest.mark.parametrize("wrong", ["head:8265", "ray://head:10001", "", "https://user:secret@head"])
def test_what_is_no_address_of_a_dashboard_is_refused(wrong: str) -> None:
    with pytest.raises(BadInput, match="--address"):
        address.check(wrong, insecure=True)


def test_a_token_file_counts_as_a_token(tmp_path: Path) -> None:
    assert not address.has_token()
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("x" * 32)
    assert address.has_token()


def test_the_same_command_is_the_same_job_and_another_setting_another() -> None:
    first = job(demo(S3), "configs/demo.yaml", [S3], ROOT)
    again = job(demo(S3), "configs/demo.yaml", [S3], ROOT)
    other = job(demo(S3, "train.epochs=2"), "configs/demo.yaml", [S3, "train.epochs=2"], ROOT)
    assert first.name == again.name
    assert first.name.startswith("demo-")
    assert other.name != first.name


def test_the_entry_point_is_the_thin_script_and_joins_the_cluster() -> None:
    settings = [S3, "encoder.query_prompt=it's asked"]
    made = job(demo(*settings), str(ROOT / "configs" / "demo.yaml"), settings, ROOT)
    assert made.entrypoint == (
        "python jobs/run.py configs/demo.yaml store.root=s3://bucket/syneg "
        "'encoder.query_prompt=it'\"'\"'s asked' resources.address=auto"
    )
    assert made.runtime_env["working_dir"] == str(ROOT)


@pytest.mark.parametrize(
    ("settings", "path", "folder", "why"),
    [
        ([], "configs/demo.yaml", ROOT, "vanish"),
        ([S3], "configs/demo.yaml", ROOT / "configs", "holds no jobs/run.py"),
        ([S3], "../elsewhere/demo.yaml", ROOT, "lies outside"),
    ],
)
def test_a_job_that_could_not_work_is_refused(settings: list[str], path: str, folder: Path, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        job(demo(*settings), path, settings, folder)


def test_a_secret_in_the_runtime_env_is_refused_by_its_name_alone(tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "runtime-env.yaml").write_text("env_vars: {AWS_SECRET_ACCESS_KEY: abcdefgh12345678}")
    with pytest.raises(BadInput, match=r"env_vars\.AWS_SECRET_ACCESS_KEY") as refused:
        runtime_env(tmp_path)
    assert "abcdefgh" not in str(refused.value)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], ("run", True)),
        (["RUNNING"], ("run", False)),
        (["PENDING"], ("run", False)),
        (["SUCCEEDED"], ("run-2", True)),  # a prompt, the data or the code may have changed since
        (["SUCCEEDED", "PENDING"], ("run-2", False)),
        (["FAILED"], ("run-2", True)),
        (["STOPPED", "RUNNING"], ("run-2", False)),
        (["FAILED", "STOPPED"], ("run-3", True)),
    ],
)
def test_one_attempt_at_a_time(statuses: list[str], expected: tuple[str, bool]) -> None:
    assert attempt("run", statuses) == expected


@pytest.mark.parametrize(
    ("status", "driver", "code"),
    [("SUCCEEDED", 0, 0), ("FAILED", 2, 2), ("FAILED", None, 1), ("STOPPED", None, 143)],
)
def test_the_exit_code_is_the_jobs(status: str, driver: Any, code: int) -> None:
    assert exit_code(status, driver) == code


def test_a_log_that_is_read_again_is_shown_once() -> None:
    shown: list[str] = []
    log = _Log(shown.append)
    log.take("one\n", 0)
    log.take("two\n", 4)
    for text, start in (("one\nt", 0), ("wo\nthree\n", 5)):  # after a broken connection, cut elsewhere
        log.take(text, start)
    assert "".join(shown) == "one\ntwo\nthree\n"
