"""Who starts Ray, and joining one."""

import subprocess
import sys

import pytest
import ray

from syneg.cluster import session
from syneg.errors import BadInput, StageFailed
from syneg.settings.resources import ResourcesConfig
from syneg.settings.store import StorageConfig


def test_nothing_starts_ray_but_a_session() -> None:
    """A thread that outlives a stopped run calls Ray to cancel its tasks; that must not start another one."""
    command = "from syneg.cluster import session; import ray; ray.put(1)"
    found = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, timeout=120)
    assert found.returncode == 1
    assert "ray.init" in found.stderr


@pytest.mark.parametrize("given", ["setting", "environment"])
@pytest.mark.parametrize(
    ("address", "why"),
    [("http://127.0.0.1:8265", "where a dashboard takes jobs"), ("127.0.0.1:1", "refused"), ("nowhere", "")],
)
def test_a_cluster_that_cannot_be_joined_is_one_error_that_names_who_gave_it(
    monkeypatch: pytest.MonkeyPatch, given: str, address: str, why: str
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # a session of other tests
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if given == "environment":
        monkeypatch.setenv("RAY_ADDRESS", address)
    resources = ResourcesConfig(address=address if given == "setting" else None)
    name = "resources.address" if given == "setting" else "the environment's RAY_ADDRESS"
    with (
        pytest.raises(BadInput, match=f"joined at {name}={address}: .*{why}"),
        session.joined(resources, StorageConfig()),
    ):
        pass


def test_a_machine_on_which_ray_does_not_start_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def timed_out(**given: object) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", timed_out)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with (
        pytest.raises(StageFailed, match=r"did not start.*timed out"),
        session.joined(ResourcesConfig(), StorageConfig()),
    ):
        pass
