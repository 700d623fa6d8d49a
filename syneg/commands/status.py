"""A run as a table, from what its storage says and nothing else."""

import time

from rich.console import Group
from rich.markup import escape
from rich.text import Text

from syneg.commands import terminal
from syneg.watch.progress import RunProgress, StageProgress, clock, moment


def table(run: RunProgress, now: float | None = None) -> Group:
    """What is done, what runs, at which rate, how long it still takes, what it has cost."""
    now = time.time() if now is None else now
    headings = ["rows", "rejected", "rows/s", "took", "left"]
    rows = [(name, *_cells(run.stages.get(name))) for name in dict.fromkeys((*run.stages, *run.planned))]
    stages = terminal.filled("", ["stage", "state"], headings, rows)
    stages.columns[1].no_wrap = True  # a word
    below = [f"Spent so far: about {run.usd:,.2f} USD (estimated, at the widest)"] if run.usd is not None else []
    above = Text(headline(run, now))  # no title, which would be broken where the table ends
    return Group(above, stages, *([Text(run.message)] if run.message else []), *below)


def headline(run: RunProgress, now: float) -> str:
    if (silence := run.silent_for(now)) is not None:
        state = f"no sign of life for {clock(silence)}; its driver may be gone. Run the same command to go on"
    else:
        state = run.state
    job = f", job {run.job}" if run.job else ""
    return f"Run {run.run}: {state}{job}, began {moment(run.began)}, last seen {moment(run.updated)}"


def _cells(stage: StageProgress | None) -> tuple[str, ...]:
    if stage is None:
        return ("waits", "", "", "", "", "")
    rows = f"{stage.rows_out:,}" if stage.rows_out is not None else _counted(stage)
    rate, left = stage.rate(), stage.seconds_left()
    running = stage.state == "running"
    return (
        stage.state,
        rows,
        f"{sum(stage.rejected.values()):,}" if stage.rejected else "",
        f"{rate:,.1f}" if rate and running else "",
        clock(stage.seconds) if stage.state != "reused" else "",
        clock(left) if left is not None and running else "",
    )


def _counted(stage: StageProgress) -> str:
    if stage.done is None:
        return escape(stage.message)
    return f"{stage.done:,}" if stage.total is None else f"{stage.done:,} of {stage.total:,}"
