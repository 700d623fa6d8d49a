"""Models on collections, without training."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from syneg.commands import streams, terminal
from syneg.commands.arguments import ConfigFile, Overrides
from syneg.config import overrides
from syneg.pipeline import pipeline


@streams.outlived()
def evaluate(
    config: ConfigFile,
    settings: Overrides = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="FOLDER", help="A model beside the config's own; may be given several times."),
    ] = None,
    corpus: Annotated[
        list[str] | None,
        typer.Option("--corpus", metavar="FOLDER", help="A BEIR folder instead of the config's; also several times."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Where to write; without it ROOT/evaluations/NAME, which `syneg gc` heeds."
        ),
    ] = None,
) -> None:
    """Score models over whole collections, beside the config's own model and BM25, with paired tests between them.

    Vectors and scores that are stored under the config's root are used, and `syneg gc` keeps those of the default
    folder: a second call computes nothing.
    """
    from syneg.experiment import evaluation, standings
    from syneg.store import files, layout

    resolved = overrides.load(config, settings or ())
    asked = evaluation.plan(resolved, model or (), corpus or ())
    target = out or files.join(resolved.store.root, layout.EVALUATIONS, resolved.name)
    files.check_folder(target)
    console = terminal.console()

    @contextmanager
    def watched(title: str) -> Iterator[pipeline.Listener]:
        console.print(title, highlight=False, markup=False)
        with terminal.Progress(console) as progress:
            yield progress

    finished = evaluation.run(asked, watched)
    found = standings.gather(asked, finished)
    console.print()
    for sentence in found.power():
        console.print(sentence, highlight=False, markup=False)
    for table in terminal.standing_tables(found):
        console.print(table)
    record, lacking = standings.publish(asked, finished, found, target)
    for reason in lacking:
        terminal.say(console, f"No TREC files of this model: {reason}", style="yellow")
    terminal.say(console, f"Written: {record}")
