"""Fixtures that several rooms share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

SCIFACT = Path(__file__).parents[2] / "shared" / "data" / "scifact"


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One local Ray for all tests that need it: two CPUs, a bounded object store."""
    import ray

    ray.init(num_cpus=2, object_store_memory=10**9, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def scifact() -> Path:
    """The real collection where it exists."""
    if not SCIFACT.is_dir():
        pytest.skip("the SciFact collection is not at ../shared/data/scifact")
    return SCIFACT
