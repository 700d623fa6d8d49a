"""A real Ray head on this machine, with token authentication, in a process group of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from ray.util import get_node_ip_address

ROOT = Path(__file__).parents[2]
TOKEN = "f3a1" * 16
_UP_SECONDS = 240


@dataclass(frozen=True)
class Head:
    gcs: str  # host:port that drivers and nodes join
    dashboard: str  # URL that jobs are submitted to
    environment: dict[str, str]  # of a process that talks to it

    def syneg(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "syneg", *arguments],
            cwd=ROOT,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@contextmanager
def head(folder: Path, autoscaling: Mapping[str, Any] | None = None, **environment: str) -> Iterator[Head]:
    """Two CPUs. `autoscaling` is a cluster config; its nodes are told where the head is."""
    with ExitStack() as sockets:
        gcs, dashboard, agent, grpc, client = (_free_port(sockets) for _ in range(5))
    address = f"{get_node_ip_address()}:{gcs}"
    home = folder / "home"
    home.mkdir()
    own = os.environ | {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "SYNEG_CACHE": os.environ.get("SYNEG_CACHE", str(Path.home() / ".cache" / "syneg")),
        **environment,
    }
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--disable-usage-stats"]
    command += [f"--port={gcs}", f"--ray-client-server-port={client}"]
    command += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    command += [f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={grpc}"]
    command += ["--num-cpus=2", "--num-gpus=0", "--object-store-memory=300000000", f"--temp-dir={folder}/r"]
    if autoscaling:
        provider = dict(autoscaling["provider"]) | {"gcs_address": address}
        path = folder / "autoscaling.json"
        path.write_text(json.dumps(dict(autoscaling) | {"provider": provider}))
        command.append(f"--autoscaling-config={path}")
    log = (folder / "head.log").open("w")
    process = subprocess.Popen(command, env=own, stdout=log, stderr=log, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{dashboard}"
        _wait(process, url, folder / "head.log")
        yield Head(address, url, own)
    finally:
        _end(process)
        log.close()


def _free_port(sockets: ExitStack) -> int:
    """Kept bound until all are drawn, so that no two are the same."""
    listener = sockets.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    return listener.getsockname()[1]


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _UP_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{url}/api/jobs/", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=5).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.5)
    raise AssertionError(f"the head did not come up:\n{log.read_text()[-4000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """The head's whole group; Ray's own `ray stop` would end every Ray of this machine."""
    import psutil

    below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
    for child in psutil.wait_procs(below, timeout=5)[1]:
        child.kill()
