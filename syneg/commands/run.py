"""Running a config, and looking at what that would do."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from syneg import redaction
from syneg.commands import terminal
from syneg.commands.arguments import ConfigFile, Overrides
from syneg.config import overrides
from syneg.config.run import RunConfig
from syneg.pipeline import cost, graph, pipeline
from syneg.store.manifest import Manifest


class Log(StrEnum):
    text = "text"
    json = "json"


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

    ROOT/runs/NAME/run.json tells what is done, also after --to, a failure or a stop.
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


def _publish(finished: pipeline.Finished, console: Console, whole: bool) -> None:
    from syneg import runs
    from syneg.watch import record

    if whole:
        terminal.print_scores(console, finished)
        terminal.say(console, f"Report: {runs.publish_run(finished)}")
    else:
        terminal.say(console, f"Record: {runs.publish_record(finished)}. {runs.standing(finished)}".rstrip())
    if others := record.earlier(runs.folder(finished.config.store.root, finished.config.name)):
        terminal.say(
            console,
            f"Earlier runs of this name are kept ({len(others):,}), the last one as {others[0]}: give that to syneg "
            "compare, show, export or verify. syneg gc keeps what it names until you remove it.",
        )


def _sizes(corpus: Manifest) -> dict[str, int]:
    queries, judgements = corpus.facts["queries"], corpus.facts["judgements"]
    return {
        "passages": corpus.facts["passages"],
        "queries": sum(queries.values()),
        "training_pairs": judgements["train"],
        "test_queries": queries["test"],
    }


@contextmanager
def watched(
    config: RunConfig, console: Console, log: Log, last: str | None = None, label: str = ""
) -> Iterator[pipeline.Listener]:
    """Everyone who hears of the run: the terminal or the log, the records in storage, Ray's metrics.

    `label` stands before each of the terminal's lines.
    """
    from syneg import runs
    from syneg.watch import listeners, metrics, record

    folder, names = runs.folder(config.store.root, config.name), graph.names(config)
    planned = names[: names.index(last) + 1] if last in names else names
    with ExitStack() as stack:
        if log is Log.json:
            shown = listeners.JsonLines(config.name)
        else:
            shown = stack.enter_context(terminal.Progress(console, label=label))
        recorder = stack.enter_context(listeners.Recorder(config, folder, planned))
        told = [shown, recorder, record.Writer(config, folder), metrics.RayMetrics(config.name)]
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
    corpus = steps[0].manifest
    sizes = cost.sizes(resolved, _sizes(corpus) if corpus else None)
    if estimates := cost.estimate(resolved, sizes, graph.names(resolved)):
        console.print(terminal.cost_table(estimates))
    if sample:
        from syneg.commands.generate import sampled_cost

        console.print(sampled_cost(resolved))
