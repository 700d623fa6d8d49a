"""Running a config, and looking at what that would do."""

from typing import Annotated

import typer
from rich.console import Console

from syneg import graph, overrides, pipeline, terminal
from syneg.commands.arguments import ConfigFile, Overrides


def run(
    config: ConfigFile,
    settings: Overrides = None,
    first: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="Start here; earlier stages must be done.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="STAGE", help="Stop after this stage.")] = None,
) -> None:
    """Run what is not done yet: corpus, generate, gate, embed, mine, mix, train, embed_tuned, evaluate, report."""
    resolved = overrides.load(config, settings or ())
    console = Console()
    with terminal.Progress(console) as progress:
        finished = pipeline.run(resolved, progress, first, last)
    console.print(terminal.stage_table(finished))
    if last in (None, graph.names(resolved)[-1]):
        from syneg import runs

        console.print(terminal.score_table(finished))
        console.print(f"Report: {runs.publish_run(finished)}")


def plan(config: ConfigFile, settings: Overrides = None) -> None:
    """Show what is done and what would run, without starting anything."""
    resolved = overrides.load(config, settings or ())
    Console().print(terminal.plan_table(pipeline.plan(resolved, allow_unreachable=True)))
