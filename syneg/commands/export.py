"""A run's instances and rankings in the formats of other libraries."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from syneg.commands import terminal
from syneg.commands.arguments import Root, RunArgument
from syneg.differences import counted
from syneg.export.formats import FORMATS

if TYPE_CHECKING:
    from syneg.pipeline.run import Run


_TREC = "trec"
if TYPE_CHECKING:
    Format = StrEnum  # a type checker needs a class
else:
    Format = StrEnum("Format", [(name, name) for name in (*FORMATS, _TREC)])


def export(
    run: RunArgument,
    out: Annotated[str, typer.Argument(metavar="OUT", help="The folder to write; it must be new or empty.")],
    form: Annotated[Format, typer.Option("--format", help="Who is to read it.")],
    root: Root = "out",
) -> None:
    """Write a run's training instances for another library, or its rankings as TREC files.

    The run may end at mix, and for TREC files at any stage that ranks: mine or evaluate.
    """
    from syneg import runs
    from syneg.export import instances
    from syneg.store import files

    finished = runs.load(run, root)
    files.check_vacant(out)
    console = terminal.console()
    if form == _TREC:
        _rankings(finished, out, console)
        return
    finished.need("mix", "syneg export")
    table = finished.table("mix", "instances")
    written = instances.write(table, form.value, finished.encoder.query_prompt or "", out)
    negatives = " to ".join(map(str, sorted({written.fewest, written.most})))
    terminal.say(console, f"Wrote {counted(written.instances, 'instance')} with {negatives} negatives each to {out}")
    if (note := FORMATS[form.value].note) and not written.most:
        terminal.say(console, note)
    if written.left_out:
        left_out = counted(written.left_out, "instance")
        console.print(f"[yellow]{left_out} with fewer negatives left out[/]: see mix.on_short.")


def _rankings(run: "Run", out: str, console: Console) -> None:
    """Whatever the run has ranked so far, and the judgements."""
    from syneg.export import trec
    from syneg.pipeline.graph import candidates_of

    last = candidates_of(run.config)
    mined = run.newest("candidates")
    if mined is None and "evaluate" not in run.manifests:
        run.need(last, "syneg export --format trec")
        run.need("evaluate", "syneg export --format trec")  # a run that mines nothing
    tables = {"runs": "evaluate", "candidates": mined or last, "qrels": "corpus", "queries": "corpus"}
    sources = {name: run.table(stage, name) for name, stage in tables.items()}
    for path, lines in trec.write(sources, run.config.name, out).items():
        terminal.say(console, f"{out}/{path}: {counted(lines, 'line')}")
    for stage, kind in ((last, "candidates"), ("evaluate", "runs")):
        if stage in run.undone:
            instead = f"{kind} are those of {mined}" if kind == "candidates" and mined else f"there are no {kind}"
            console.print(f"[yellow]{stage} is not done, so {instead}.[/] To go on: syneg run CONFIG --to {stage}")
