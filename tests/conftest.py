"""Fixtures that several rooms share."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import s3_server

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"  # no test asks the machine for credentials

COLLECTIONS = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One local Ray for all tests that need it: two CPUs, a bounded object store."""
    import ray

    ray.init("local", num_cpus=2, object_store_memory=10**9, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


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
