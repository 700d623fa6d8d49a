"""What a run prints while it goes."""

import io
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from syneg import runs
from syneg.cli import app
from syneg.commands import terminal
from syneg.config import overrides
from syneg.experiment.analysis import analyse
from syneg.experiment.verdict import reach
from syneg.pipeline.stages import ONE_ROUND
from syneg.store.manifest import Manifest
from tests.unit import stored_run
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


def test_a_line_that_moves_fits_the_terminal_and_keeps_its_seconds() -> None:
    written = io.StringIO()
    train, embed = (stage for stage in ONE_ROUND if stage.name in ("train", "embed"))
    console = Console(file=written, width=60, force_terminal=True, color_system=None)
    with terminal.Progress(console) as progress:
        for stage in (embed, train):
            progress.started(stage)
            progress.progressed(stage, f"step 1/2 of [{stage.name}] 文文 " + "and what else there is to say of it " * 3)
        until = time.monotonic() + 10
        while "train" not in written.getvalue() and time.monotonic() < until:
            time.sleep(0.05)
    lines = [line for line in written.getvalue().splitlines() if "step 1/2" in line]
    assert lines
    for line in lines:
        assert cell_len(line[line.index("…") - 4 :]) <= 60
        assert "…  (" in line  # what was said is cropped, the seconds are not
        assert line.endswith(" s)")


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
    compared = [line for line in shown.splitlines() if line.startswith("│ hybrid over ")]
    assert ["< 0.001" in line for line in compared] == [True, True]


def test_an_experiment_s_names_can_be_read_in_80_columns() -> None:
    written = io.StringIO()
    results = sample.results({"retrieved_only": 0.02, "synthetic_only": 0.08})
    names = ("nDCG@10", "MRR@10", "Recall@100", "MAP")
    arms = {name: replace(arm, values=dict.fromkeys(names, arm.values["MAP"])) for name, arm in results.arms.items()}
    results = replace(results, measures=names, arms=arms)
    analysis = analyse(results, "retrieved_only", seed=0)
    console = Console(file=written, width=80)
    terminal.print_outcome(console, results, analysis, reach(results, analysis), "out/experiment.html")
    words = written.getvalue().split()
    assert set(names) < set(words)
    assert words.count("retrieved_only") >= 3  # among the means, over the base, as the arm to beat
    assert "…" not in written.getvalue()


def test_what_a_user_brought_is_printed_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    long_id = "id-" + "0123456789" * 30
    shown = terminal.table("[x] ns:100:0", ["id"])
    shown.add_row("ns:100:0")
    shown.add_row(long_id)
    console = terminal.console()
    console.print(shown)
    terminal.say(console, "out/[x]/:warning:")
    printed = capsys.readouterr().out
    for whole in ("[x] ns:100:0", "│ ns:100:0 ", long_id, "out/[x]/:warning:"):
        assert whole in printed
    console.width = 40
    console.print(shown)
    folded = capsys.readouterr().out
    assert "".join(line.strip("│ ") for line in folded.splitlines() if line.startswith("│")).endswith(long_id)


def test_a_run_ends_with_its_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ["configs/demo.yaml", f"store.root={tmp_path}"]
    found = {"difference": 0.031, "low": 0.012, "high": 0.05, "p": 0.002, "queries": 200}
    evaluated = {
        "queries": 200,
        "measures": ["nDCG@10"],
        "scores": {"base": {"nDCG@10": 0.6}, "tuned": {"nDCG@10": 0.631}},
        "differences": {"nDCG@10": found},
        "leaks": {"test_query": {"query": 20}},
    }
    facts = {"evaluate": evaluated, "probe": {"warnings": ["Told by their length."]}}
    stored_run.write(tmp_path, overrides.load(settings[0], settings[1:]), {}, facts)
    monkeypatch.setattr(runs, "publish_run", lambda finished: "out/runs/demo/report.html")
    done = CliRunner().invoke(app, ["run", *settings])
    assert done.exit_code == 0, done.output
    expected = (
        "0.6310",
        "Tuned is better than base by 3.1 nDCG@10 points (95 % 1.2 to 5.0, p = 0.002, 200 queries, one seed).",
        "- The tuned model trained on 20 test queries or nearly the same: scores may be too high.",
        "- Told by their length.",
        "Report: out/runs/demo/report.html",
    )
    places = [done.output.index(words) for words in expected]
    assert places == sorted(places)
