"""Collections in, BEIR folders out."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def corpus(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="stdlib, or a folder in BEIR or (with --msmarco) MS MARCO layout.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The BEIR folder to write; it must not exist.")],
    msmarco: Annotated[bool, typer.Option("--msmarco", help="SOURCE holds MS MARCO's tsv files.")] = False,
) -> None:
    """Write a collection as a BEIR folder: corpus.jsonl, queries.jsonl, qrels/."""
    from syneg.corpus import export
    from syneg.settings.corpus import CorpusConfig

    if source == "stdlib":
        settings = CorpusConfig(source="stdlib")
    else:
        settings = CorpusConfig(source="msmarco" if msmarco else "beir", path=source)
    export.write_beir(settings, out)
    Console().print(f"Wrote {source} to {out}")
