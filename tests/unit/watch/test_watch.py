"""The record of a run, what is read from it, and the log for collectors."""

import io
import json
import time
from pathlib import Path

import pytest
from rich.console import Console

from syneg.commands import status
from syneg.config import overrides
from syneg.config.run import RunConfig
from syneg.errors import StoreError
from syneg.pipeline.graph import stages
from syneg.stage import Stage
from syneg.store import files
from syneg.store.manifest import Manifest
from syneg.watch import listeners, progress
from syneg.watch.progress import StageProgress

SECRET = "AKIA" + "ABCDEFGHIJKLMNOP"


def config(root: Path) -> RunConfig:
    return overrides.load("configs/demo.yaml", [f"store.root={root}", "resources.estimate.usd_per_gpu_hour=2.0"])


def stage(name: str) -> Stage:
    return next(stage for stage in stages(overrides.load("configs/demo.yaml")) if stage.name == name)


def made(name: str) -> Manifest:
    return Manifest(
        stage=name,
        fingerprint="f" * 16,
        tables={},
        folders={},
        rows_in=10,
        rows_out=8,
        rejected={"empty": 2},
        seconds=4.0,
        facts={},
        settings={},
        versions={},
        finished="2026-11-23T00:00:00+00:00",
    )


def text(run: progress.RunProgress, now: float | None = None) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(status.table(run, now))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_counts_come_from_the_lines_that_stages_show() -> None:
    known = StageProgress(began=0.0)
    known.count("0/256 answers, the engine starts", 50.0)
    known.count("1,024/4,096 answers", 60.0)
    assert (known.done, known.total) == (1024, 4096)
    assert known.rate() == pytest.approx(102.4)  # the engine's start is left out
    assert known.seconds_left() == pytest.approx(30.0)
    plain = StageProgress(began=0.0)
    plain.count("1,500 rows", 3.0)
    assert (plain.done, plain.total, plain.rate(), plain.seconds_left()) == (1500, None, None, None)


def test_a_message_is_shown_as_it_is() -> None:
    why = "s3://bucket/[/x]: no such key"
    ended = progress.RunProgress(run="demo", state="failed", message=why, began=0.0, updated=9.0, beat_seconds=5.0)
    ended.stages["mine"] = StageProgress(began=0.0, message="reads [x]")
    assert why in text(ended)
    assert "reads [x]" in text(ended)


def test_a_run_is_seen_in_its_storage_while_it_runs_and_when_it_is_done(tmp_path: Path) -> None:
    folder = str(tmp_path / "runs" / "demo")
    with listeners.ProgressWriter(config(tmp_path), folder, ["corpus", "generate", "gate"]) as writer:
        writer.started(stage("corpus"))
        writer.finished(stage("corpus"), made("corpus"), False)
        writer.started(stage("generate"))
        writer.progressed(stage("generate"), f"5/20 answers {SECRET}")
        writer._put()
        running = progress.load(folder)
        assert running is not None
        assert (running.state, running.stages["generate"].state) == ("running", "running")
        assert (running.stages["generate"].done, running.stages["generate"].total) == (5, 20)
        assert SECRET not in running.model_dump_json()
        shown = text(running)
        assert "5 of 20" in shown
        assert "waits" in shown  # the gate
        writer.finished(stage("generate"), made("generate"), False)
    done = progress.load(folder)
    assert done is not None
    assert done.state == "done"
    assert {name: one.state for name, one in done.stages.items()} == {"corpus": "done", "generate": "done"}
    assert done.stages["corpus"].rejected == {"empty": 2}
    assert done.usd is not None


@pytest.mark.parametrize(("error", "state"), [(KeyboardInterrupt(), "stopped"), (ValueError(f"no {SECRET}"), "failed")])
def test_how_a_run_ended_is_told(tmp_path: Path, error: BaseException, state: str) -> None:
    writer = listeners.ProgressWriter(config(tmp_path), str(tmp_path), [])
    writer.started(stage("generate"))
    writer.__exit__(type(error), error, None)
    ended = progress.load(str(tmp_path))
    assert ended is not None
    assert ended.state == state
    assert ended.stages["generate"].state == "failed"
    assert SECRET not in text(ended)


def test_a_driver_that_was_killed_is_missed(tmp_path: Path) -> None:
    now = time.time()
    run = progress.RunProgress(run="demo", began=now - 600, updated=now - 300, beat_seconds=5)
    assert run.silent_for(now) == pytest.approx(300, abs=1)
    assert "no sign of life for 5 min 00 s" in text(run, now)
    assert run.silent_for(run.updated + 10) is None
    run.state = "done"
    assert run.silent_for(now) is None


@pytest.mark.parametrize("lives", [True, False])
def test_a_driver_whose_clock_is_behind_is_not_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lives: bool
) -> None:
    then = time.time() - 600
    run = progress.RunProgress(run="demo", began=then, updated=then, beat_seconds=5)

    def put(updated: float) -> None:
        files.put(progress.path(str(tmp_path)), run.model_copy(update={"updated": updated}).model_dump_json().encode())

    put(then)
    monkeypatch.setattr(time, "sleep", lambda seconds: put(then + seconds) if lives else None)
    found = progress.watched(str(tmp_path))
    assert found is not None
    assert ("no sign of life" in text(*found)) is not lives


def test_bad_input_leaves_no_record(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bad"), listeners.ProgressWriter(config(tmp_path), str(tmp_path), []):
        raise ValueError("bad")
    assert progress.load(str(tmp_path)) is None


def test_a_damaged_record_says_what_to_do_of_a_run_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text("{")
    with pytest.raises(StoreError, match="Once it has ended, remove this file"):
        progress.load(str(tmp_path))


def test_a_store_that_fails_does_not_end_the_run(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where a folder should be")
    with listeners.ProgressWriter(config(tmp_path), str(blocked / "runs"), []) as writer:
        writer.started(stage("corpus"))


def test_the_log_is_an_object_a_line() -> None:
    stream = io.StringIO()
    log = listeners.JsonLines("demo", stream)
    log.started(stage("gate"))
    log.progressed(stage("gate"), f"5 rows {SECRET}")
    log.finished(stage("gate"), made("gate"), True)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["run"], line["stage"], line["event"]) for line in lines] == [
        ("demo", "gate", "started"),
        ("demo", "gate", "progressed"),
        ("demo", "gate", "finished"),
    ]
    assert lines[2]["rejected"] == {"empty": 2}
    assert SECRET not in stream.getvalue()
