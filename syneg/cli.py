"""The `syneg` command: arguments and printing, nothing else."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from syneg import overrides, pipeline, terminal
from syneg.errors import SynegError
from syneg.graph import NAMES

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Synthetic and mined hard negatives for dense retrievers, fine-tuning, and a verdict on whether they helped.",
    epilog="Exit codes: 0 done, 2 bad config or input (nothing was started), 1 failed.",
)

ConfigFile = Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file, e.g. configs/demo.yaml.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[section.key=value]...", help="Settings that go over the file's.")
]


@app.command()
def run(
    config: ConfigFile,
    settings: Overrides = None,
    first: Annotated[str, typer.Option("--from", metavar="STAGE", help="Start here; earlier stages must be done.")] = (
        NAMES[0]
    ),
    last: Annotated[str, typer.Option("--to", metavar="STAGE", help="Stop after this stage.")] = NAMES[-1],
) -> None:
    """Run what is not done yet: corpus, generate, gate, embed, mine, mix, train, embed_tuned, evaluate, report."""
    resolved = overrides.load(config, settings or ())
    console = Console()
    with terminal.Progress(console) as progress:
        finished = pipeline.run(resolved, progress, first, last)
    console.print(terminal.stage_table(finished))
    if last == NAMES[-1]:
        from syneg import runs

        console.print(terminal.score_table(finished))
        console.print(f"Report: {runs.publish_run(finished)}")


@app.command()
def plan(config: ConfigFile, settings: Overrides = None) -> None:
    """Show what is done and what would run, without starting anything."""
    resolved = overrides.load(config, settings or ())
    Console().print(terminal.plan_table(pipeline.plan(resolved, allow_unreachable=True)))


@app.command()
def corpus(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="stdlib, or a folder in BEIR or (with --msmarco) MS MARCO layout.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The BEIR folder to write; it must not exist.")],
    msmarco: Annotated[bool, typer.Option("--msmarco", help="SOURCE holds MS MARCO's tsv files.")] = False,
) -> None:
    """Write a collection as a BEIR folder: corpus.jsonl, queries.jsonl, qrels/."""
    from syneg.config import CorpusConfig
    from syneg.corpus import export

    if source == "stdlib":
        settings = CorpusConfig(source="stdlib")
    else:
        settings = CorpusConfig(source="msmarco" if msmarco else "beir", path=source)
    export.write_beir(settings, out)
    Console().print(f"Wrote {source} to {out}")


def main() -> None:
    try:
        app()
    except SynegError as error:
        print(f"syneg: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
