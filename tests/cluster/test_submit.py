"""A run submitted to a real head with token authentication: followed, stopped half-way, submitted again."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from syneg.store.manifest import Manifest
from syneg.watch import progress
from tests.cluster import tiny
from tests.cluster.head import ROOT, TOKEN, Head, head

pytestmark = pytest.mark.cluster
PASSAGES = 800


@pytest.fixture(scope="module")
def ray_head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    with head(tmp_path_factory.mktemp("h"), RAY_JOB_STOP_WAIT_TIME_S="30") as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("run")
    tiny.collection(made / "collection", PASSAGES, 60)
    return made


@pytest.fixture(scope="module")
def config(folder: Path) -> Iterator[Path]:
    """In the project's folder, as what is submitted has to be."""
    path = ROOT / "configs" / f"test-{folder.name}.yml"
    settings = tiny.config(folder, "submitted", encode={"batch_rows": 32}, generate={"batch_rows": 16})
    path.write_text(json.dumps(settings))  # JSON is YAML
    yield path
    path.unlink()


def test_without_the_token_the_head_answers_nobody(ray_head: Head, config: Path) -> None:
    assert requests.get(f"{ray_head.dashboard}/api/jobs/", timeout=10).status_code == 401
    refused = ray_head.syneg("submit", str(config), "--address", ray_head.dashboard, RAY_AUTH_TOKEN="0" * 64)
    said, _ = refused.communicate(timeout=120)
    assert refused.returncode == 1
    assert "refuses the token" in said


def test_stopped_half_way_and_submitted_again(ray_head: Head, config: Path, folder: Path) -> None:
    command = ("submit", str(config), "--address", ray_head.dashboard, "--to", "mix")
    first = ray_head.syneg(*command)
    run = str(folder / "store" / "runs" / "submitted")
    job = _until_half_way(run)

    # The same command meanwhile starts nothing new.
    joined = ray_head.syneg(*command, "--detach")
    assert f"Joined {job}" in joined.communicate(timeout=120)[0]

    kept = _stop(ray_head, job, folder)
    log, _ = first.communicate(timeout=120)
    assert first.returncode == 143, log
    assert "Finished work is kept" in log
    stopped = progress.load(run)
    assert stopped is not None
    assert stopped.state == "stopped"
    assert len(kept) > 0

    again = ray_head.syneg(*command)
    log, _ = again.communicate(timeout=400)
    assert again.returncode == 0, log
    assert f"Submitted {job}-2" in log
    assert TOKEN not in log
    done = progress.load(run)
    assert done is not None
    assert {name: stage.state for name, stage in done.stages.items()} == {
        "corpus": "reused",
        "generate": "reused" if stopped.stages["generate"].state == "done" else "done",
        "gate": "reused" if stopped.stages["gate"].state == "done" else "done",
        "embed": "done",
        "mine": "done",
        "mix": "done",
    }
    (path,) = (folder / "store" / "embed").glob("*/manifest.json")
    made = Manifest.model_validate_json(path.read_bytes())
    assert made.rows_out == PASSAGES + 120
    assert kept <= {part.name for part in made.tables["passage_vectors"]}  # nothing is encoded twice


def test_a_job_that_is_done_is_submitted_anew_and_reuses_everything(ray_head: Head, config: Path, folder: Path) -> None:
    again = ray_head.syneg("submit", str(config), "--address", ray_head.dashboard, "--to", "mix")
    log, _ = again.communicate(timeout=240)
    assert again.returncode == 0, log
    assert "Submitted" in log
    seen = ray_head.syneg("status", str(folder / "store" / "runs" / "submitted"))
    table, _ = seen.communicate(timeout=60)
    assert "submitted: done" in table


def test_nothing_stored_or_logged_holds_the_token(ray_head: Head, folder: Path, tmp_path: Path) -> None:
    files = [path for path in (folder / "store").rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert TOKEN.encode() not in path.read_bytes(), path
    shutil.rmtree(tmp_path)


def _until_half_way(run: str) -> str:
    """Waits until some vectors are stored; gives the submission id."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        found = progress.load(run)
        embed = found.stages.get("embed") if found else None
        if found and embed and (embed.done or 0) >= 64:
            assert embed.state == "running"
            assert found.job is not None
            return found.job
        time.sleep(0.5)
    raise AssertionError(f"no vector was stored in time: {progress.load(run)}")


def _stop(ray_head: Head, job: str, folder: Path) -> set[str]:
    """Stops the job as `ray job stop` does. Gives the parts that were stored before."""
    kept = {path.name for path in (folder / "store" / "embed").glob("*/passage_vectors/part-*")}
    answer = requests.post(
        f"{ray_head.dashboard}/api/jobs/{job}/stop", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60
    )
    assert answer.ok
    return kept
