"""What `syneg plan` says of the stages that are not done."""

from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from typer.testing import CliRunner

from syneg.cli import app
from syneg.commands import terminal
from syneg.config import overrides
from syneg.pipeline.cost import Estimate
from tests.unit import stored_run

CONFIG = """
name: small
corpus: {source: stdlib}
"""
FACTS = {"corpus": {"passages": 400, "queries": {"train": 70, "test": 30}, "judgements": {"train": 70, "test": 30}}}
RATE = "resources.estimate.texts_encoded_per_second=3000.0"
DEFAULTS = "Estimated by the default rates of resources.estimate, which were not measured here"


def planned(root: Path, *arguments: str, last: str | None = None) -> str:
    (root / "small.yaml").write_text(CONFIG)
    settings = [str(root / "small.yaml"), f"store.root={root}"]
    if last:
        stored_run.write(root, overrides.load(settings[0], settings[1:]), {}, FACTS, last=last)
    done = CliRunner().invoke(app, ["plan", *settings, *arguments])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def drawn(table: Table, width: int = 60) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_only_what_is_left_is_estimated(tmp_path: Path) -> None:
    _, _, estimated = planned(tmp_path, last="train").partition("Estimated")
    assert "embed_tuned" in estimated
    assert "in all" in estimated
    assert not any(f"│ {stage} " in estimated for stage in ("corpus", "generate", "embed", "mine", "train"))


def test_nothing_is_estimated_of_a_run_that_is_done(tmp_path: Path) -> None:
    assert "stimate" not in planned(tmp_path, last="report")


def test_why_there_is_no_estimate_and_what_to_do(tmp_path: Path) -> None:
    shown = planned(tmp_path)
    assert "No estimate: how large the collection is, is not known yet." in shown
    assert "`syneg run CONFIG --to corpus` finds the sizes, or give resources.estimate.passages," in shown


def test_whether_a_rate_was_measured(tmp_path: Path) -> None:
    assert DEFAULTS in planned(tmp_path, last="corpus")
    assert "Estimated from resources.estimate, not measured" in planned(tmp_path, RATE, last="corpus")


def test_a_sample_is_not_drawn_for_a_generation_that_is_done(tmp_path: Path) -> None:
    assert "Generation: done" in planned(tmp_path, "--sample", last="generate")


def test_times_and_sizes_are_told_by_how_large_they_are() -> None:
    shown = drawn(
        terminal.cost_table(
            [
                Estimate("corpus", 10, 0.2, bytes=4_000),
                Estimate("embed", 10, 146, bytes=25_000_000),
                Estimate("mine", 10, 3_600 * 1_500, bytes=3 << 30),
            ],
            default_rates=False,
        )
    )
    for words in ("< 1 s", "2 min 26 s", "1,500 h 00 min", "25.0 MB", "3.0 GiB", "1,500 h 02 min"):
        assert words in shown
    assert not any(heading in shown for heading in ("tokens", "GPUs", "USD"))


@pytest.mark.parametrize("bytes_stored", [0, 4_000])
def test_a_column_that_would_be_empty_is_left_out(bytes_stored: int) -> None:
    shown = drawn(terminal.cost_table([Estimate("corpus", 10, 1.0, bytes=bytes_stored)], default_rates=False))
    assert "stored" not in shown


def test_a_stage_s_name_is_whole_in_60_columns() -> None:
    stored = [Estimate("embed_tuned", 10**9, 10.0**7, tokens=10**12, bytes=10**13, gpus=8, usd=10.0**6)]
    assert "│ embed_tuned │" in drawn(terminal.cost_table(stored, default_rates=True))
