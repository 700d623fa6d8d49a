"""What a run prints while it goes."""

import io
import time

import pytest
from rich.console import Console

from syneg import terminal
from syneg.experiment.analysis import analyse
from syneg.experiment.verdict import reach
from syneg.stages import ONE_ROUND
from syneg.store.manifest import Manifest
from tests.unit.experiment import sample


def test_a_stage_that_has_nothing_new_to_say_still_shows_that_it_runs() -> None:
    written = io.StringIO()
    (stage,) = [stage for stage in ONE_ROUND if stage.name == "generate"]
    with terminal.Progress(Console(file=written, width=120), every_seconds=0.01, label="[2/15] ") as progress:
        progress.started(stage)
        progress.progressed(stage, "0/88 answers, the [first] take longest")
        until = time.monotonic() + 10
        while written.getvalue().count("0/88 answers, the [first] take longest") < 3 and time.monotonic() < until:
            time.sleep(0.01)
    lines = written.getvalue().splitlines()
    assert sum("[2/15]   … generate     0/88 answers, the [first] take longest  (0 s)" in line for line in lines) >= 3


@pytest.mark.parametrize("is_terminal", [False, True])
def test_a_secret_in_a_progress_line_or_a_warning_is_masked(is_terminal: bool) -> None:
    written = io.StringIO()
    (stage,) = [stage for stage in ONE_ROUND if stage.name == "generate"]
    told = {"warnings": ["s3://key:warned@bucket is slow"]}
    ledger = {"rows_in": 1, "rows_out": 1, "rejected": {}, "seconds": 1.0}
    made = Manifest.model_validate(
        {"stage": "generate", "fingerprint": "0", "tables": {}, "folders": {}, **ledger}
        | {"facts": told, "settings": {}, "versions": {}, "finished": "2026-11-01T10:00:00+00:00"}
    )
    console = Console(file=written, width=120, force_terminal=is_terminal, color_system=None)
    with terminal.Progress(console, every_seconds=0.01) as progress:
        progress.started(stage)
        progress.progressed(stage, "reads s3://key:progressed@bucket")
        until = time.monotonic() + 10
        while "reads s3://" not in written.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
        progress.finished(stage, made, reused=False)
    shown = written.getvalue()
    assert "reads s3://[redacted]@bucket" in shown
    assert "! s3://[redacted]@bucket is slow" in shown
    assert "progressed" not in shown
    assert "warned" not in shown


def test_an_experiment_s_outcome_begins_with_what_can_be_seen_and_ends_with_the_page() -> None:
    written = io.StringIO()
    results = sample.results({"retrieved_only": 0.02, "hybrid": 0.08})
    analysis = analyse(results, "retrieved_only", seed=0)
    verdict = reach(results, analysis)
    terminal.print_outcome(Console(file=written, width=400), results, analysis, verdict, "out/[x]/experiment.html")
    shown = written.getvalue()
    parts = ["four times out of five", "Means over 300 queries", "Against retrieved_only", verdict.sentence]
    places = [shown.index(part) for part in (*parts, *verdict.caveats, "Report: out/[x]/experiment.html")]
    assert places == sorted(places)
    tables = [line for line in shown.splitlines() if line.startswith("│ hybrid ")]
    assert ["< 0.001" in line for line in tables] == [True, True]
