"""Arms against each other, over seeds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from syneg import redaction
from syneg.commands import streams, terminal
from syneg.commands.arguments import Overrides
from syneg.commands.run import Log
from syneg.commands.run import watched as run_watched
from syneg.errors import SynegError
from syneg.pipeline import pipeline

ExperimentFile = Annotated[
    str,
    typer.Argument(metavar="CONFIG", help="A YAML file with arms and seeds, e.g. configs/experiments/scifact.yaml."),
]


@streams.outlived()
def experiment(
    config: ExperimentFile,
    settings: Overrides = None,
    log: Annotated[Log, typer.Option("--log", help="Lines for people, or one JSON object a line.")] = Log.text,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="FOLDER", help="Train nothing: write what benchmarks/arms_cuda.py reads."),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option("--scores", metavar="FOLDER", help="Run nothing: take what benchmarks/arms_cuda.py left there."),
    ] = None,
) -> None:
    """Train and score every arm under every seed, and say in one sentence which to use. Goes on where it stopped."""
    from syneg.experiment import analysis, exported, grid, publish, reported, results, runner, verdict

    planned = grid.load(config, settings or ())
    figures = reported.load(planned.config.reported)
    bases = runner.bases(planned)
    console = terminal.console(stderr=log is Log.json)

    @contextmanager
    def watched(cell: grid.Cell, number: int, total: int) -> Iterator[pipeline.Listener]:
        label = f"[{number}/{total}] "
        console.print(f"{label}{cell.arm}, seed {cell.seed}", highlight=False, markup=False)
        with run_watched(cell.config, console, log, label=label) as listener:
            try:
                yield listener
            except SynegError as error:  # said again at the end, which waits for the arms beside this one
                reason = redaction.redacted(f"{label}failed: {error}")
                console.print(reason, style="red", highlight=False, markup=False)
                raise

    if export:
        exported.export(planned, bases, watched, export)
        terminal.say(console, f"Wrote {len(planned.cells)} tables of instances to {export}")
        return
    if scores:
        found = exported.results(planned, scores)
    else:
        found = results.gather(planned, bases, runner.run(planned, watched))
    analysed = analysis.analyse(found, planned.config.against, planned.cells[0].config.evaluate.seed)
    reached = verdict.reach(found, analysed)
    page = publish.publish(planned, found, analysed, reached, figures)
    terminal.print_outcome(console, found, analysed, reached, page)
