"""A run's instances and rankings in the formats of other libraries."""

from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from syneg.commands.arguments import Root, Run


class Format(StrEnum):
    SENTENCE_TRANSFORMERS = "sentence-transformers"
    FLAGEMBEDDING = "flagembedding"
    TEVATRON = "tevatron"
    TREC = "trec"


def export(
    run: Run,
    out: Annotated[str, typer.Argument(metavar="OUT", help="The folder to write; it must not exist.")],
    form: Annotated[Format, typer.Option("--format", help="Who is to read it.")],
    root: Root = "out",
) -> None:
    """Write a run's training instances for another library, or its rankings as TREC files."""
    from syneg import runs
    from syneg.errors import BadInput
    from syneg.export import instances, trec
    from syneg.graph import candidates_of
    from syneg.store import files

    finished = runs.load(run, root)
    if any(files.files_below(out)):
        raise BadInput(f"{out} is not empty. Give a new folder; nothing was written.")
    console = Console()
    if form is Format.TREC:
        mined = candidates_of(finished.config)
        tables = {"runs": "evaluate", "candidates": mined, "qrels": "corpus", "queries": "corpus"}
        sources = {name: finished.table(stage, name) for name, stage in tables.items()}
        for path, lines in trec.write(sources, finished.config.name, out).items():
            console.print(f"{out}/{path}: {lines:,} lines")
        return
    table = finished.table("mix", "instances")
    written = instances.write(table, form.value, finished.config.encoder.query_prompt, out)
    console.print(f"Wrote {written.instances:,} instances with {written.negatives} negatives each to {out}")
    if written.left_out:
        console.print(
            f"[yellow]{written.left_out:,} instances with fewer negatives were left out[/]: see mix.on_short."
        )
