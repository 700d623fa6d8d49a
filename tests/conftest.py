"""Fixtures that several rooms share."""

import gc
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import s3_server

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"  # no test asks the machine for credentials

_CPUS = 2
COLLECTIONS = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def _ends_ray() -> Iterator[None]:
    yield
    import ray

    ray.shutdown()


@pytest.fixture
def ray_session(_ends_ray: None) -> None:
    """The local Ray of all tests that need it: two CPUs, a bounded object store, and nobody at work there any more.

    Ray can lose a CPU: seen once, after tests whose stages fail, a task that no worker had counted as being at work.
    Such a Ray is replaced, else tests after it wait for the CPU until their time is over.
    """
    import ray

    if ray.is_initialized() and not _idle(seconds=10):
        ray.shutdown()
    if not ray.is_initialized():
        ray.init("local", num_cpus=_CPUS, object_store_memory=10**9, include_dashboard=False, log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False


def _idle(seconds: float) -> bool:
    import ray

    gc.collect()  # workers end with the last that refers to them
    end = time.monotonic() + seconds
    while ray.available_resources().get("CPU") != _CPUS:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture(scope="session")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real S3 server, with an empty bucket `bucket`."""
    with s3_server.running(tmp_path_factory.mktemp("seaweed")) as url:
        s3_server.make_bucket(url, "bucket")
        yield url


@pytest.fixture
def s3_root(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address on it that nobody else uses, reachable from this process."""
    for name, value in s3_server.environment(s3_url).items():
        monkeypatch.setenv(name, value)
    return f"s3://bucket/{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def scifact() -> Path:
    return collection("scifact")


@pytest.fixture(scope="session")
def nq_mini() -> Path:
    return collection("nq-mini")


def collection(name: str) -> Path:
    """The real collection where it exists."""
    if not (COLLECTIONS / name).is_dir():
        pytest.skip(f"the collection {name} is not at ../shared/data/{name}")
    return COLLECTIONS / name
