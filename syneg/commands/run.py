"""Running a config, and looking at what that would do."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from syneg import redaction
from syneg.commands import streams, terminal
from syneg.commands.arguments import ConfigFile, Overrides
from syneg.config import overrides
from syneg.config.run import RunConfig
from syneg.pipeline import cost, graph, pipeline
from syneg.pipeline.run import Run


class Log(StrEnum):
    text = "text"
    json = "json"


@streams.outlived()
def run(
    config: ConfigFile,
    settings: Overrides = None,
    first: Annotated[
        str | None, typer.Option("--from", metavar="STAGE", help="Start here; earlier stages must be done.")
    ] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="STAGE", help="Stop after this stage.")] = None,
    log: Annotated[Log, typer.Option("--log", help="Lines for people, or one JSON object a line.")] = Log.text,
) -> None:
    """Run what is not done yet, of all stages from the corpus to the report.

    ROOT/runs/NAME/run.json says what is done, also after --to, a failure or a stop.
    show, export, verify and compare work with that, and gc keeps it.

    Another run of the same NAME takes run.json over, the report and the model.
    The record of the one before stays beside it as run-DIGEST.json: gc heeds it, and these commands take it as a RUN.
    """
    resolved = overrides.load(config, settings or ())
    console = terminal.console()
    with watched(resolved, console, log, last) as listener:
        finished = pipeline.run(resolved, listener, first, last)
        if log is Log.json:
            console = terminal.console(stderr=True)  # the log stays one JSON object a line
        console.print(terminal.stage_table(finished))
        # Inside: a run whose report could not be written is not done.
        _publish(finished, console, whole=last in (None, graph.names(resolved)[-1]))


def _publish(finished: Run, console: Console, whole: bool) -> None:
    from syneg import runs
    from syneg.watch import record

    if whole:
        terminal.print_scores(console, finished)
        terminal.say(console, f"Report: {runs.publish_run(finished)}")
    else:
        terminal.say(console, f"Record: {runs.publish_record(finished)}. {finished.standing()}".rstrip())
    if others := record.earlier(runs.folder(finished.config.store.root, finished.config.name)):
        terminal.say(
            console,
            f"Earlier runs of this name are kept ({len(others):,}), the last one as {others[0]}: give that to syneg "
            "compare, show, export or verify. syneg gc keeps what it names until you remove it.",
        )


@contextmanager
def watched(
    config: RunConfig, console: Console, log: Log, last: str | None = None, label: str = ""
) -> Iterator[pipeline.Listener]:
    """Everyone who hears of the run: the terminal or the log, the records in storage, Ray's metrics.

    `label` precedes each of the terminal's lines.
    """
    from syneg import runs
    from syneg.watch import listeners, metrics, record

    folder, names = runs.folder(config.store.root, config.name), graph.names(config)
    planned = names[: names.index(last) + 1] if last in names else names
    with ExitStack() as stack:
        if log is Log.json:
            shown = listeners.JsonLines(config.name, sys.stdout)
        else:
            shown = stack.enter_context(terminal.Progress(console, label=label))
        writer = stack.enter_context(listeners.ProgressWriter(config, folder, planned))
        told = [shown, writer, record.RecordWriter(config, folder), metrics.RayMetrics(config.name)]
        yield listeners.Everyone(told)


def plan(
    config: ConfigFile,
    settings: Overrides = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Count the tokens of a sample of prompts; the corpus must be done.")
    ] = False,
) -> None:
    """Show what is done and what would run, without starting anything."""
    resolved = overrides.load(config, settings or ())
    steps = pipeline.plan(resolved, allow_unreachable=True)
    console = terminal.console()
    console.print(terminal.plan_table(steps))
    for reason in dict.fromkeys(step.unreachable for step in steps if step.unreachable):
        console.print(f"Not reached: {redaction.redacted(reason)}", style="yellow", highlight=False, markup=False)
    _print_costs(console, resolved, steps)
    if sample:
        from syneg.commands.generate import sampled_cost

        console.print(sampled_cost(resolved))


def _print_costs(console: Console, config: RunConfig, steps: list[pipeline.Step]) -> None:
    """What the stages should take that are not done yet, or why that is not known."""
    to_run = tuple(step.stage.name for step in steps if not step.done)
    corpus = steps[0].manifest
    sizes = cost.Sizes.of_corpus(corpus.facts) if corpus else cost.Sizes.of_config(config)
    if to_run and not sizes.known:
        terminal.say(
            console,
            "No estimate: how large the collection is, is not known yet. `syneg run CONFIG --to corpus` finds the "
            "sizes, or give resources.estimate.passages, queries, training_pairs and test_queries.",
        )
    elif estimates := cost.estimate(config, sizes, to_run):
        console.print(terminal.cost_table(estimates, config.resources.estimate.has_default_rates))
