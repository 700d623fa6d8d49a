"""Runs on a cluster: sending one there, and looking at one from anywhere that can read its storage."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from syneg.commands import terminal
from syneg.commands.arguments import ConfigFile, Overrides, Root
from syneg.config import overrides

Address = Annotated[
    str,
    typer.Option(
        "--address", envvar="RAY_API_SERVER_ADDRESS", help="The head's dashboard, e.g. http://127.0.0.1:8265."
    ),
]


def submit(
    config: ConfigFile,
    settings: Overrides = None,
    address: Address = "http://127.0.0.1:8265",
    first: Annotated[str | None, typer.Option("--from", metavar="STAGE", help="As `syneg run`.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="STAGE", help="As `syneg run`.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not follow the log.")] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Send it beyond this machine without a token or TLS.")
    ] = False,
) -> None:
    """Run a config on a Ray cluster.

    The same command again joins a job that waits or runs; after its end it starts anew: finished stages cost nothing.
    """
    from syneg.cluster import address as addresses
    from syneg.cluster.job import job

    addresses.check(address, insecure=insecure)
    addresses.use_token()
    from syneg.cluster import client

    span = [word for option, stage in (("--from", first), ("--to", last)) if stage for word in (option, stage)]
    wanted = job(overrides.load(config, settings or ()), config, [*(settings or ()), *span], Path.cwd())
    console = terminal.console(stderr=True)
    head = client.Head(address)
    submission, new = head.submit(wanted)
    console.print(f"{'Submitted' if new else 'Joined'} {submission}", highlight=False)
    how_to = f"follow it by the same command, stop it by: ray job stop --address {address} {submission}"
    if detach:
        console.print(f"To {how_to}", highlight=False, soft_wrap=True)
        return
    try:
        code = head.follow(submission, _show)
    except KeyboardInterrupt:
        console.print(f"\nDetached; {submission} runs on. To {how_to}", highlight=False, soft_wrap=True)
        raise typer.Exit(130) from None
    raise typer.Exit(code)


def status(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's folder, e.g. out/runs/demo, or its name, or its config.")
    ],
    settings: Overrides = None,
    root: Root = "out",
) -> None:
    """What of a run is done, what runs, its rate, time left and price: from its storage alone."""
    from syneg.commands import status as shown
    from syneg.errors import BadInput
    from syneg.runs import folder, folders_of
    from syneg.watch import progress

    if run.endswith((".yaml", ".yml")):
        config = overrides.load(run, settings or ())
        places = [folder(config.store.root, config.name)]
    else:
        places = folders_of(run, root)
    found = next((known for known in map(progress.watched, places) if known), None)
    if found is None:
        raise BadInput(
            f"No run {run!r} has begun: found no {' and no '.join(map(progress.path, places))}. Give a run's folder, "
            "e.g. out/runs/demo, or its config, or its name and, where that is not out, --root."
        )
    terminal.console().print(shown.table(*found))


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
