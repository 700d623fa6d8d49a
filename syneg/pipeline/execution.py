"""One stage of a run: its function called with what it reads, what it gives back written, and the record of it."""

import importlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

from syneg import rejection
from syneg.config.run import RunConfig
from syneg.encoder.recipe import resolved
from syneg.errors import StageFailed
from syneg.settings.section import Section
from syneg.stage import Context, Inputs, Output, Recovered, Stage, Stake
from syneg.store import files, folders, layout, manifest, retry_count
from syneg.store.manifest import Manifest, Part


def sections(config: RunConfig, stage: Stage) -> dict[str, Section]:
    """The parts of the config that the stage's fingerprint covers and its function gets.

    Raises:
        BadInput: the encoder is not there, or what states its prompts cannot be read.
    """
    found: dict[str, Section] = {name: getattr(config, name) for name in stage.sections}
    return found | {"encoder": resolved(config.encoder)} if "encoder" in found else found


def run(
    config: RunConfig,
    stage: Stage,
    fingerprint: str,
    manifests: Mapping[str, Manifest],
    progress: Callable[[str], None],
) -> tuple[Manifest, bool]:
    """Runs the stage on the outputs that `manifests` (by stage) list, and publishes what it made. Gives the record of
    what stands, and whether that is ours.

    Where another driver published the same output first, that one stands: it was made of the same inputs and settings.
    Nothing of ours is mixed into it.

    Raises:
        StageFailed: the stage ended without a result, or its ledger does not add up.
    """
    root = files.absolute(config.store.root)
    folder = manifest.output_folder(root, stage.name, fingerprint)
    if theirs := manifest.load(root, stage.name, fingerprint):  # since we planned
        return _superseded(theirs, progress)
    from syneg.store import recovery

    began, retries = time.monotonic(), retry_count.retries()
    with tempfile.TemporaryDirectory(prefix=f"syneg-{stage.name}-") as scratch:
        left = {table: recovery.recover(folder, table) for table in stage.writes if stage.resumes_by_row}
        context = _context(config, root, stage, fingerprint, left, Path(scratch), progress)
        output = _function(stage)(_inputs(root, stage, manifests), context, **sections(config, stage))
        parts = {table: [*left[table].parts] if table in left else [] for table in stage.writes}
        for table, part in _written(output, folder, progress):
            parts[table].append(part)
        places = {name: layout.new_place(name) for name in stage.folders}
        copied = {name: folders.put(output.folders[name], files.join(folder, places[name])) for name in stage.folders}
    rows_in, rows_out, rejected = _ledger(stage, output, [part for of_table in parts.values() for part in of_table])
    made = Manifest(
        stage=stage.name,
        fingerprint=fingerprint,
        tables=parts,
        folders=copied,
        places=places,
        rows_in=rows_in,
        rows_out=rows_out,
        rejected=rejected,
        seconds=round(time.monotonic() - began, 3),
        retries=retry_count.retries() - retries,
        facts=dict(output.facts()),
        settings={name: section.model_dump(mode="json") for name, section in sections(config, stage).items()},
        versions={library: version(library) for library in ("syneg", "ray", "torch", "transformers")},
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    if not manifest.publish(root, made):
        theirs = manifest.load(root, stage.name, fingerprint)
        assert theirs is not None  # it was there first
        return _superseded(theirs, progress)
    folders.remove(files.join(folder, layout.ATTEMPT))
    return made, True


def _context(
    config: RunConfig,
    root: str,
    stage: Stage,
    fingerprint: str,
    left: Mapping[str, Recovered],
    scratch: Path,
    progress: Callable[[str], None],
) -> Context:
    """`left`: by table what a killed attempt stored."""
    from syneg.on_ray.workers import InProcess, OnRay
    from syneg.store import recovery, tables

    folder = manifest.output_folder(root, stage.name, fingerprint)
    return Context(
        resources=config.resources,
        scratch=scratch,
        title=f"{config.name}/{stage.name}-{fingerprint[:8]}",
        attempt=files.join(folder, layout.ATTEMPT),
        progress=progress,
        recovered=left,
        earlier=partial(recovery.Earlier, root, stage.name, fingerprint),
        store_rows=tables.RowWriter(folder),
        stake=Stake(config.store.part_rows, config.store.part_seconds),
        workers=OnRay(getattr(config.resources, stage.pool), config.resources) if stage.pool else InProcess(),
    )


def _written(output: Output, folder: str, progress: Callable[[str], None]) -> Iterator[tuple[str, Part]]:
    """Writes what a stage gave back. Each part with its table."""
    from syneg.store import tables

    for table, rows in output.tables.items():
        yield from ((table, part) for part in tables.write(rows, folder, table))
    if output.stored is not None:
        yield from tables.stored(output.stored, progress)


def _superseded(theirs: Manifest, progress: Callable[[str], None]) -> tuple[Manifest, bool]:
    progress(f"another run on the same root finished {theirs.stage} first; its output is used")
    return theirs, False


def _function(stage: Stage) -> Callable[..., Output]:
    module, _, name = stage.function.partition(":")
    return getattr(importlib.import_module(module), name)


def _inputs(root: str, stage: Stage, manifests: Mapping[str, Manifest]) -> Inputs:
    from syneg.store import tables

    sources, places = {}, {}
    for name, address in stage.reads.items():
        maker, _, output = address.partition(".")
        made = manifests[maker]
        path = manifest.place(root, made, output)
        if output in made.tables:
            sources[name] = tables.StoredTable(path, tuple(made.tables[output]))
        else:
            places[name] = path
    return Inputs(sources, places)


def _ledger(stage: Stage, output: Output, written: list[Part]) -> tuple[int, int, dict[str, int]]:
    """Rows in, rows out, and rejected ones by reason.

    Raises:
        StageFailed: they do not add up.
        StoreError: the stage states a reason that is not on the list. Those in tables were looked at as they were put.
    """
    from syneg.store import parts

    parts.check_reasons(stage.name, output.rejected, rejection.CORPUS_REASONS)  # no other stage states any
    rejected = Counter(output.rejected)
    for part in written:
        rejected.update(part.rejected)
    accepted = sum(part.rows - sum(part.rejected.values()) for part in written)
    rows_out = accepted if output.rows_out is None else output.rows_out
    rows_in = output.rows_in() if callable(output.rows_in) else output.rows_in
    if rows_in != rows_out + rejected.total():
        raise StageFailed(
            f"{stage.name}: {rows_in} rows came in, but {rows_out} went out and {rejected.total()} were "
            f"rejected ({dict(rejected)}). Rows were lost or doubled, so nothing was published. Please report this."
        )
    return rows_in, rows_out, dict(sorted(rejected.items()))
