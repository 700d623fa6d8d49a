"""Running a config, and looking at what that would do."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from syneg import cost, graph, overrides, pipeline, terminal
from syneg.commands.arguments import ConfigFile, Overrides
from syneg.config import RunConfig
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
    """Run what is not done yet, of all stages from the corpus to the report."""
    resolved = overrides.load(config, settings or ())
    console = Console()
    with watched(resolved, console, log, last) as listener:
        finished = pipeline.run(resolved, listener, first, last)
    if log is Log.json:
        console = Console(stderr=True)  # the log stays one JSON object a line
    console.print(terminal.stage_table(finished))
    if last in (None, graph.names(resolved)[-1]):
        from syneg import runs

        console.print(terminal.score_table(finished))
        console.print(f"Report: {runs.publish_run(finished)}")


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
    """Everyone who hears of the run: the terminal or the log, the record in storage, Ray's metrics.

    `label` stands before each of the terminal's lines.
    """
    from syneg import runs
    from syneg.watch import listeners, metrics

    folder, names = runs.folder(config.store.root, config.name), graph.names(config)
    planned = names[: names.index(last) + 1] if last in names else names
    with ExitStack() as stack:
        if log is Log.json:
            shown = listeners.JsonLines(config.name)
        else:
            shown = stack.enter_context(terminal.Progress(console, label=label))
        recorder = stack.enter_context(listeners.Recorder(config, folder, planned))
        yield listeners.Everyone([shown, recorder, metrics.RayMetrics(config.name)])


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
    Console().print(terminal.plan_table(steps))
    corpus = steps[0].manifest
    sizes = cost.sizes(resolved, _sizes(corpus) if corpus else None)
    if estimates := cost.estimate(resolved, sizes, graph.names(resolved)):
        Console().print(terminal.cost_table(estimates))
    if sample:
        from syneg.commands.generate import sampled_cost

        Console().print(sampled_cost(resolved))
