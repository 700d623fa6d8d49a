"""Who starts Ray."""

import subprocess
import sys


def test_nothing_starts_ray_but_a_session() -> None:
    """A thread that outlives a stopped run calls Ray to cancel its tasks; that must not start another one."""
    command = "from syneg.cluster import session; import ray; ray.put(1)"
    found = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, timeout=120)
    assert found.returncode == 1
    assert "ray.init" in found.stderr
