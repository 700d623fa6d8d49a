"""What a run prints while it goes."""

import io
import time

from rich.console import Console

from syneg import terminal
from syneg.stages import ONE_ROUND


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
