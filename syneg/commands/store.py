"""What is stored: removing what nobody needs, and proving what a run depends on."""

import time
from typing import Annotated

import typer

from syneg.commands import terminal
from syneg.commands.arguments import Root, RunArgument
from syneg.errors import BadInput, StoreError

_DAY_SECONDS = 86_400


def gc(
    root: Annotated[str, typer.Argument(metavar="ROOT", help="A store's root, e.g. out or s3://bucket/prefix.")],
    delete: Annotated[bool, typer.Option("--delete", help="Remove what is listed.")] = False,
    older_than: Annotated[
        float, typer.Option(metavar="DAYS", min=0.0, help="Spare what was written in the last DAYS days.")
    ] = 7.0,
) -> None:
    """List (or remove) what nobody depends on: unfinished outputs, outputs that no run names, parts in no manifest.

    What the records of runs and evaluations under ROOT name is kept, also those of earlier runs (run-DIGEST.json).
    To let go of a run, remove its record first. Files that syneg did not write are never listed.

    Uploads to a bucket that a killed run did not complete are not listed: let a lifecycle rule of the bucket
    (AbortIncompleteMultipartUpload) end them.
    """
    from syneg.pipeline.stages import ONE_ROUND, SCORE, SCORE_BM25
    from syneg.store import garbage

    now = time.time()
    found = garbage.find(root, now - older_than * _DAY_SECONDS, (*ONE_ROUND, SCORE, SCORE_BM25))
    if delete and found and (alive := _alive(root)):
        raise BadInput(
            f"{', '.join(alive)} is running under {root} and may read what no run names yet. Nothing was removed: run "
            "this again once it has ended."
        )
    table = terminal.table(f"Not needed under {root}", ["output", "objects", "MB", "why"])
    for item in found:
        table.add_row(item.output, f"{len(item.objects):,}", f"{item.bytes / 1e6:,.1f}", item.why)
        if delete:
            garbage.remove(root, item)
    console = terminal.console()
    console.print(table)
    total = f"{sum(len(item.objects) for item in found):,} objects, {sum(item.bytes for item in found) / 1e6:,.1f} MB"
    console.print(f"Removed {total}." if delete else f"{total}. Nothing was removed; --delete removes them.")


def _alive(root: str) -> list[str]:
    """Runs under `root` that gave a sign of life just now."""
    from syneg import runs
    from syneg.store import files, layout
    from syneg.watch import progress

    names = {name.split("/")[0] for name, _ in files.files_below(files.join(root, layout.RUNS))}
    known = ((name, progress.watched(runs.folder(root, name))) for name in sorted(names))
    return [
        name for name, found in known if found and found[0].state == "running" and found[0].silent_for(found[1]) is None
    ]


def verify(run: RunArgument, root: Root = "out") -> None:
    """Read all that a run depends on: checksums, schemas, keys, counts, and rows in = out + rejected at every stage.

    Every stage is read, also after an untrue one. Of a run that has not come to its end, what is done is read.
    """
    from syneg import runs
    from syneg.store import audit

    finished = runs.load(run, root)
    columns = ["stage", "parts", "rows", "MB", "in", "out", "rejected", "record is"]
    table = terminal.table(f"Run {finished.config.name}", columns)
    untrue: list[StoreError] = []
    for name, made in finished.manifests.items():
        ledger = (f"{count:,}" for count in (made.rows_in, made.rows_out, sum(made.rejected.values())))
        try:
            read = audit.check(finished.config.store.root, made)
        except StoreError as error:
            table.add_row(name, "", "", "", *ledger, "untrue")
            untrue.append(error)
            continue
        table.add_row(name, f"{read.parts:,}", f"{read.rows:,}", f"{read.bytes / 1e6:,.1f}", *ledger, "true")
    console = terminal.console()
    console.print(table)
    if untrue:
        raise StoreError("\n".join(map(str, untrue)))
    if lacking := finished.standing():
        console.print(lacking, style="yellow", highlight=False, markup=False)
