"""Generation on nodes that come and go: from none to two under load, one lost in the middle, none when all is done."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
import requests

from syneg.store.manifest import Manifest
from syneg.watch import progress
from tests.cluster import tiny
from tests.cluster.fake_nodes import ENVIRONMENT, autoscaling
from tests.cluster.head import ROOT, TOKEN, Head, head

pytestmark = pytest.mark.cluster
QUERIES = 320
NODES = 2


@pytest.fixture(scope="module")
def ray_head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    with head(tmp_path_factory.mktemp("h"), autoscaling(NODES, idle_seconds=12), **ENVIRONMENT) as started:
        yield started


def test_generation_grows_loses_a_node_and_shrinks(ray_head: Head, tmp_path: Path) -> None:
    tiny.collection(tmp_path / "collection", QUERIES, QUERIES)
    pool = {"min_workers": 1, "max_workers": NODES, "gpus": 1, "cpus": 0.5, "node_group": "generate", "batch_rows": 8}
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(tiny.config(tmp_path, "grown", address=ray_head.gcs, generate=pool)))
    assert _gpu_nodes(ray_head) == []

    log = (tmp_path / "run.log").open("w")
    run = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.slow_generation", "run", str(config), "--to", "gate"],
        cwd=ROOT,
        env=ray_head.environment,
        stdout=log,
        stderr=log,
    )
    try:
        grown = _until(lambda: len(nodes := _gpu_nodes(ray_head)) == NODES and nodes, run, 150, log.name)
        folder = str(tmp_path / "store" / "runs" / "grown")
        _until(lambda: (_answered(folder) or 0) >= 60, run, 150, log.name)
        _lose(grown[0])
        assert run.wait(300) == 0, Path(log.name).read_text()
    finally:
        run.kill()
        log.close()

    (path,) = (tmp_path / "store" / "generate").glob("*/manifest.json")
    made = Manifest.model_validate_json(path.read_bytes())
    assert made.rows_in == made.rows_out == QUERIES
    parts = [pq.read_table(path.parent / "answers" / part.name) for part in made.tables["answers"]]
    keys = Counter(key for part in parts for key in part["negative_id"].to_pylist())
    assert len(keys) == QUERIES
    assert set(keys.values()) == {1}  # none lost, none twice
    assert {reason for part in parts for reason in part["finish_reason"].to_pylist()} == {"stop"}
    _until(lambda: _gpu_nodes(ray_head) == [], None, 120, log.name)


def _answered(folder: str) -> int | None:
    found = progress.load(folder)
    stage = found.stages.get("generate") if found else None
    return stage.done if stage else None


def _gpu_nodes(ray_head: Head) -> list[str]:
    """Ids of the living nodes with a GPU, by the dashboard."""
    answer = requests.get(
        f"{ray_head.dashboard}/api/v0/nodes?detail=1", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30
    )
    rows = answer.json()["data"]["result"]["result"]
    return [row["node_id"] for row in rows if row["state"] == "ALIVE" and row["resources_total"].get("GPU")]


def _lose(node: str) -> None:
    """As a spot node goes: its raylet and its workers at once, without a word."""
    (raylet,) = [
        process
        for process in psutil.process_iter(["name"])
        if process.info["name"] == "raylet" and process.environ().get("RAY_OVERRIDE_NODE_ID_FOR_TESTING") == node
    ]
    below = raylet.children(recursive=True)
    raylet.kill()
    for process in below:
        if process.is_running():
            process.kill()


def _until(happens: Callable[[], Any], run: "subprocess.Popen[bytes] | None", seconds: float, log: str) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := happens():
            return found
        assert run is None or run.poll() is None, Path(log).read_text()
        time.sleep(0.5)
    raise AssertionError(f"not in {seconds} s\n{Path(log).read_text()}")
