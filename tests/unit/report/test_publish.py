"""report.json, and that it is made without anything heavy."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from syneg.report import environment, publish
from tests.unit.report import sample


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict:
    return publish.assemble(sample.summary(), sample.content(tmp_path_factory.mktemp("report")))


def test_holds_what_is_promised(report: dict) -> None:
    assert report["run"] == "demo"
    ledger = {"fingerprint", "seconds", "rows_in", "rows_out", "rejected", "reused", "finished"}
    assert all(set(stage) == ledger for stage in report["stages"].values())
    assert list(report["stages"])[:3] == ["corpus", "generate", "gate"]
    assert report["stages"]["mine"]["rejected"] == {"above_margin": 120, "positive": 120}
    assert report["generation"] == {
        "requests": 20,
        "accepted": 10,
        "input_tokens": 6000,
        "output_tokens": 1800,
        "output_tokens_per_second": 84.6,
        "outcomes": {"accepted": 10, "too_short": 10},
        "taken_over": None,
        "layouts": {
            "published": {"output_tokens_per_second": 84.6, "prefix_cache_hit_rate": None},
            "prefix_first": {"output_tokens_per_second": 90, "prefix_cache_hit_rate": 0.25},
        },
    }
    assert report["vectors_taken_over"] == 1234
    assert report["scores"]["tuned"]["nDCG@10"] == 0.680
    assert report["differences"]["nDCG@10"]["p"] == 0.002
    assert report["verdict"]["kind"] == "better"
    assert {"cpu", "cores", "memory_gib", "gpus", "platform"} == set(report["machine"])
    assert {"python", "syneg", "ray", "torch"} <= set(report["versions"])


def test_is_json_and_back(report: dict) -> None:
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_the_machine_is_described() -> None:
    found = environment.machine()
    assert found["cpu"]
    assert found["cores"] >= 1
    assert found["memory_gib"] > 0.1


def test_gpus_are_those_that_the_driver_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text('#!/bin/sh\necho "NVIDIA H100 80GB HBM3, 81559 MiB"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert environment.machine()["gpus"] == ["NVIDIA H100 80GB HBM3, 81559 MiB"]
    tool.write_text('#!/bin/sh\necho "NVIDIA-SMI has failed"\nexit 9\n')
    assert environment.machine()["gpus"] == []


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, syneg.report.publish, syneg.report.page; "
        "print([name for name in ('torch', 'ray', 'matplotlib', 'numpy', 'pyarrow', 'vllm') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
