"""The `syneg` command: every command by its name, and exit codes."""

import sys

import typer

from syneg.commands import corpus, run
from syneg.errors import SynegError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Synthetic and mined hard negatives for dense retrievers, fine-tuning, and a verdict on whether they helped.",
    epilog="Exit codes: 0 done, 2 bad config or input (nothing was started), 1 failed.",
)

for command in (
    run.run,
    run.plan,
    corpus.corpus,
):
    app.command()(command)


def main() -> None:
    try:
        app()
    except SynegError as error:
        print(f"syneg: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
