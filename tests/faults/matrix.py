"""`make test-faults`: deaths of every kind at every point of every stage, and the table of what they cost.

One job is run without a death. Another one, on a root of its own, is killed at every point of every stage and started
again, so that each attempt goes on from what the dead one left. In the end both must hold the same rows. What a death
costs is what was asked of the engine, or encoded, and not stored when it came.
"""

import json
import math
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from syneg import schemas
from syneg.config.run import RunConfig
from syneg.pipeline import graph, pipeline
from syneg.store import files, folders, manifest, tables
from tests import faulty_proxy
from tests.faults.counting import LOG
from tests.faults.driver import POINTS
from tests.standin_server import StandIn
from tests.tiny_bert import tiny_bert

ROOT = Path(__file__).parents[2]
STAKE = 8  # store.part_rows: what a worker is at before it is stored
STAGES = [stage.name for stage in graph.stages(RunConfig.model_validate({"name": "x", "corpus": {"source": "stdlib"}}))]
DEAR = {"generate": "answers", "embed": "vectors", "embed_tuned": "vectors"}
TOLERANCE = 2e-3  # of numbers that float16 vectors made
RUN_TIMES = {"asked_at", "seconds", "queries_per_second", "tokens_per_second"}  # columns that tell of the clock
SETTINGS: dict[str, Any] = {
    "corpus": {"source": "stdlib", "max_passages": 80, "max_queries": 32, "max_dev_queries": 1, "max_test_queries": 8},
    "generate": {"attributes": "configs/attributes/stdlib.yaml", "max_pairs": 32},
    "mine": {"samplers": {"dense": {"window_end": 20}, "bm25": {"window_end": 20}}},
    "mix": {"on_short": "keep"},
    "train": {"batch_size": 8, "in_batch_negatives": True, "query_max_length": 32, "passage_max_length": 48},
    "resources": {
        "cpus": 2,
        "object_store_gib": 0.3,
        "generate": {"batch_rows": 4},
        "encode": {"batch_rows": STAKE},
    },
}


@dataclass
class Job:
    """A config on a root of its own, and a server of its own that counts what it was asked."""

    folder: Path
    server: StandIn
    config: RunConfig
    path: Path

    @classmethod
    def on(cls, folder: Path, model: Path | str, server: StandIn, **more: Any) -> "Job":
        engine = {"kind": "openai", "model": "stand-in", "base_url": server.url, "api_key_env": None}
        engine["limits"] = {"max_in_flight": STAKE}
        settings = {
            **SETTINGS,
            "name": "faults",
            "store": {"root": str(folder / "root"), "part_rows": STAKE},
            "encoder": {"model": str(model), "query_max_length": 32, "passage_max_length": 48},
            "generate": {**SETTINGS["generate"], "engine": engine},
            **more,
        }
        folder.mkdir(exist_ok=True)
        path = folder / "config.yaml"
        path.write_text(json.dumps(settings))
        return cls(folder, server, RunConfig.model_validate(settings), path)

    def run(self, stage: str = "-", point: str = "-", victim: str = "nobody") -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {LOG: str(self.folder / "encoded"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.faults.driver", str(self.path), stage, point, victim]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=600)

    def paid(self, stage: str) -> int:
        """Rows asked of the engine, or encoded, so far."""
        if stage == "generate":
            return self.server.requests
        log = self.folder / "encoded"
        return sum(map(int, log.read_text().split())) if log.exists() else 0

    def stored(self, stage: str) -> int:
        """Rows in the parts that lie below the stage's outputs, listed or not."""
        # A driver that outlives a worker goes on to the next stage, which encodes too.
        stages = ("generate",) if stage == "generate" else ("embed", "embed_tuned")
        found = [files.join(self.config.store.root, name) for name in stages]
        names = [files.join(below, name) for below in found for name, _ in files.files_below(below)]
        return sum(pq.read_metadata(name).num_rows for name in names if name.endswith(".parquet"))

    def rows(self, stage: str, table: str) -> pa.Table:
        (made,) = [step.manifest for step in pipeline.plan(self.config) if step.stage.name == stage]
        assert made
        place = manifest.place(self.config.store.root, made, table)
        return tables.StoredTable(place, tuple(made.tables[table])).table()


@dataclass
class Table:
    """What is printed at the end."""

    deaths: list[tuple[str, str, str, int | None]] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    doubled: Counter[str] = field(default_factory=Counter)

    def text(self) -> str:
        lines = ["", f"{'who died':9} {'stage':12} {'point':16} {'rows lost':>9} {'doubled':>8} {'paid twice':>11}"]
        for victim, stage, point, twice in self.deaths:
            paid = "-" if twice is None else str(twice)
            lines.append(f"{victim:9} {stage:12} {point:16} {self.lost[stage]:9} {self.doubled[stage]:8} {paid:>11}")
        return "\n".join(
            [
                *lines,
                f"A worker may be at {STAKE} rows that are not stored yet. -: made again whole",
            ]
        )


TABLE = Table()


@pytest.fixture(scope="module", autouse=True)
def shown() -> Iterator[None]:
    yield
    print(TABLE.text())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[Job]:
    with StandIn(delay=0.5) as server:
        job = Job.on(tmp_path_factory.mktemp("reference"), model, server)
        done = job.run()
        assert done.returncode == 0, done.stdout + done.stderr
        assert server.requests == 32
        yield job


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, model: Path, reference: Job) -> Job:
    # The engine's address is part of a negative's id, so both jobs ask the same server.
    return Job.on(tmp_path_factory.mktemp("killed"), model, reference.server)


def die(job: Job, stage: str, point: str, victim: str = "driver") -> int | None:
    """One attempt that ends so; what was paid for in it and not stored."""
    before = (job.paid(stage), job.stored(stage))
    ended = job.run(stage, point, victim)
    assert f"STRUCK {stage}: {point}" in ended.stdout, ended.stdout + ended.stderr
    assert victim != "driver" or ended.returncode == -9, ended.stdout + ended.stderr
    if stage not in DEAR:
        return None
    return (job.paid(stage) - before[0]) - (job.stored(stage) - before[1])


@pytest.mark.parametrize("stage", STAGES)
def test_the_driver_dies_everywhere(killed: Job, stage: str) -> None:
    for point in POINTS:
        if point == "during data" and stage == "probe":  # which writes nothing but its manifest
            continue
        twice = die(killed, stage, point)
        TABLE.deaths.append(("driver", stage, point, twice))
        assert not twice or twice <= STAKE, (stage, point)


@pytest.mark.parametrize(("victim", "stage"), [("engine", "generate"), ("encoder", "embed"), ("trainer", "train")])
def test_a_process_of_the_job_dies(tmp_path: Path, model: Path, reference: Job, victim: str, stage: str) -> None:
    job = Job.on(tmp_path / victim, model, reference.server)
    point = "before manifest" if victim == "trainer" else "during data"
    twice = die(job, stage, point, victim)
    TABLE.deaths.append((victim, stage, point, twice))
    finish_and_compare(job, reference)


def test_a_node_dies(tmp_path: Path, model: Path, reference: Job) -> None:
    job = Job.on(tmp_path / "raylet", model, reference.server)
    twice = die(job, "embed", "during data", "raylet")
    TABLE.deaths.append(("raylet", "embed", "during data", twice))
    finish_and_compare(job, reference)


def test_object_storage_that_fails_a_third_of_all_requests(
    tmp_path: Path, model: Path, reference: Job, s3_url: str, s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root and model lie there, and the config alone says where: the run completes, and its rows are a disk's."""
    folders.put(model, f"{s3_root}/tiny")
    chance = random.Random(5)
    kinds: list[faulty_proxy.Fault] = ["503", "503", "500", "reset", "lost", "cut"]
    with faulty_proxy.before(s3_url, lambda *_: chance.choice(kinds) if chance.random() < 0.3 else None) as proxy:
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        monkeypatch.setenv("SYNEG_CACHE", str(tmp_path / "cache"))
        store = {"root": f"{s3_root}/root", "part_rows": STAKE}
        storage = {"endpoint_url": proxy.url, "region": "us-east-1"}
        job = Job.on(tmp_path / "s3", f"{s3_root}/tiny", reference.server, store=store, storage=storage)
        finish_and_compare(job, reference)
        report = json.loads(files.read(f"{s3_root}/root/runs/faults/report.json"))
        print(f"\n{proxy.injected.total()} of {proxy.requests} requests failed, {report['storage_retries']} retries")
        assert 0 < report["storage_retries"] <= proxy.injected.total()
        assert files.exists(f"{s3_root}/root/runs/faults/model/modules.json")


def test_in_the_end_nothing_is_lost_or_doubled(killed: Job, reference: Job) -> None:
    finish_and_compare(killed, reference)
    assert not TABLE.lost.total()
    assert not TABLE.doubled.total()


def finish_and_compare(job: Job, reference: Job) -> None:
    done = job.run()
    assert done.returncode == 0, done.stdout + done.stderr
    for step in pipeline.plan(reference.config):
        for table in step.stage.writes:
            compare(step.stage.name, table, job.rows(step.stage.name, table), reference.rows(step.stage.name, table))


def compare(stage: str, table: str, seen: pa.Table, expected: pa.Table) -> None:
    """Row for row by key. Numbers may differ in the last digits where batches were cut elsewhere."""
    keys = schemas.KEYS[table]
    found, wanted = (Counter(zip(*(rows[key].to_pylist() for key in keys), strict=True)) for rows in (seen, expected))
    TABLE.lost[stage] += (wanted - found).total()
    TABLE.doubled[stage] += sum(count - 1 for count in found.values() if count > 1)
    assert found == wanted, (stage, table)
    order = [(key, "ascending") for key in keys]
    seen, expected = seen.sort_by(order), expected.sort_by(order)
    for name in set(seen.column_names) - RUN_TIMES:
        if name == "vector":
            one, other = (np.frombuffer(b"".join(rows[name].to_pylist()), "<f2") for rows in (seen, expected))
            np.testing.assert_allclose(one, other, atol=TOLERANCE)
        else:
            pairs = zip(seen[name].to_pylist(), expected[name].to_pylist(), strict=True)
            different = [pair for pair in pairs if not close(*pair)]
            assert not different, (stage, table, name, different[0])


def close(one: Any, other: Any) -> bool:
    """Equal but for the last digits of numbers, however deep they lie."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, abs_tol=TOLERANCE) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    return bool(one == other)
