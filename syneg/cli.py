"""The `syneg` command: every command by its name, and exit codes."""

import sys
import traceback
from importlib.metadata import version
from types import TracebackType
from typing import Annotated

import typer

from syneg import redaction, termination
from syneg.commands import cluster, compare, corpus, evaluate, experiment, export, generate, run, show, store
from syneg.errors import SynegError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Synthetic and mined hard negatives for dense retrievers, fine-tuning, and a verdict on whether they helped.",
    epilog="Exit codes: 0 done, 2 bad config or input, 1 failed, 3 lost sight of a job, 143 stopped (130 by Ctrl-C), "
    "141 whoever read the output closed it.",
)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"syneg {version('syneg')}")
        raise typer.Exit


@app.callback()
def _syneg(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it and end.")
    ] = False,
) -> None: ...


for command in (
    run.run,
    run.plan,
    experiment.experiment,
    evaluate.evaluate,
    corpus.corpus,
    generate.generate,
    generate.attributes,
    export.export,
    compare.compare,
    show.show,
    cluster.submit,
    cluster.status,
    store.gc,
    store.verify,
):
    app.command()(command)


def main() -> None:
    sys.excepthook = _show_unexpected
    termination.listen()
    try:
        app()
    except SynegError as error:
        print(f"syneg: {redaction.redacted(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, SystemExit) as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # rich and typer make 1 of it, as of a failure
            sys.exit(termination.OUTPUT_CLOSED)
        if isinstance(ended, SystemExit) and ended.code != termination.INTERRUPTED:  # typer's for KeyboardInterrupt
            raise
        print(f"syneg: {termination.MESSAGE}", file=sys.stderr)
        sys.exit(termination.exit_code())


def _show_unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(redaction.redacted("".join(traceback.format_exception(kind, error, trace))))
