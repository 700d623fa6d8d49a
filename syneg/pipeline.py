"""The graph of stages, what of it is done (`plan`), and doing the rest (`run`)."""

import importlib
import os
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from syneg import fingerprint, ray_session, schedule
from syneg.config import RunConfig
from syneg.errors import BadInput, StageFailed, Superseded, Unreachable
from syneg.graph import stages
from syneg.settings.section import Section
from syneg.stage import Context, Inputs, Output, Source, Stage
from syneg.store import files, folders, manifest, tally
from syneg.store.manifest import Manifest, Part

if TYPE_CHECKING:  # pyarrow takes half a second to import
    pass

_ATTEMPT = "attempt"  # beside a stage's tables: what its function keeps for an attempt that goes on after a death


@dataclass(frozen=True)
class Step:
    """A stage of one run: under which fingerprint, and whether its output is there already."""

    stage: Stage
    fingerprint: str | None  # None: an input cannot be read from here (only in a plan that allows it)
    manifest: Manifest | None

    @property
    def done(self) -> bool:
        return self.manifest is not None


class Listener(Protocol):
    """Who wants to know how a run goes on. `progressed` comes from the thread of its stage."""

    def started(self, stage: Stage) -> None: ...

    def progressed(self, stage: Stage, message: str) -> None: ...

    def finished(self, stage: Stage, result: Manifest, reused: bool) -> None: ...


@dataclass(frozen=True)
class Finished:
    """A run that came to its end: every stage's manifest, and the names of those that were not run again."""

    config: RunConfig
    manifests: Mapping[str, Manifest]
    reused: frozenset[str] = field(default_factory=frozenset)

    def folder(self, stage: str, name: str) -> str:
        """The path of a folder that a stage wrote."""
        made = self.manifests[stage]
        return manifest.place(self.config.store.root, made, name)

    def table(self, stage: str, name: str) -> Source:
        """A table that a stage wrote."""
        from syneg.store import tables

        return tables.StoredTable(self.folder(stage, name), tuple(self.manifests[stage].tables[name]))


def plan(config: RunConfig, allow_unreachable: bool = False) -> list[Step]:
    """Every stage of the run with its fingerprint and what is done. Reads manifests, writes nothing.

    Raises:
        BadInput: a file or model that the config names is not there.
        Unreachable: object storage does not let us look; with `allow_unreachable` what stands there is left open.
    """
    os.environ.update(config.storage.environment)
    steps: dict[str, Step] = {}
    for stage in stages(config):
        mark = found = None
        try:
            mark = _fingerprint(config, stage, steps)
            found = manifest.load(config.store.root, stage.name, mark) if mark else None
        except Unreachable:
            if not allow_unreachable:
                raise
        steps[stage.name] = Step(stage, mark, found)
    return list(steps.values())


def _fingerprint(config: RunConfig, stage: Stage, steps: Mapping[str, Step]) -> str | None:
    reads = {}
    for name, address in stage.reads.items():
        source, _, table = address.partition(".")
        if steps[source].fingerprint is None:
            return None
        reads[name] = f"{steps[source].fingerprint}.{table}"
    return fingerprint.of_stage(stage.name, stage.version, _sections(config, stage), reads)


def _sections(config: RunConfig, stage: Stage) -> dict[str, Section]:
    return {name: getattr(config, name) for name in stage.sections}


def run(config: RunConfig, listener: Listener, first: str | None = None, last: str | None = None) -> Finished:
    """Runs what is not done yet, from stage `first` to stage `last` (None: of all), and returns all manifests.

    Raises:
        BadInput: something the user brought is wrong, found before any stage starts, or while the corpus is read.
        StageFailed: a stage ended without a result.
    """
    steps = plan(config)
    asked = _between([step.stage.name for step in steps], first, last)
    _check_earlier(steps, asked)
    files.check_writable(config.store.root)
    manifests = {step.stage.name: step.manifest for step in steps if step.manifest}
    reused = frozenset(manifests)
    chosen = {step.stage.name: step for step in steps if step.stage.name in asked}
    reads = {
        name: {address.partition(".")[0] for address in step.stage.reads.values()} for name, step in chosen.items()
    }
    with ExitStack() as sessions:

        @cache
        def join_ray() -> None:
            sessions.enter_context(ray_session.session(config.resources, config.storage))

        def begin(name: str) -> None:
            listener.started(chosen[name].stage)
            if chosen[name].stage.on_ray and not chosen[name].done:
                join_ray()

        def work(name: str) -> Manifest:
            return chosen[name].manifest or _run_stage(config, chosen[name], manifests, listener)

        def end(name: str, made: Manifest) -> None:
            manifests[name] = made
            listener.finished(chosen[name].stage, made, chosen[name].done)

        schedule.run(list(chosen), reads, ray_session.width(config.resources), begin, work, end)
    in_order = {step.stage.name: manifests[step.stage.name] for step in steps if step.stage.name in manifests}
    return Finished(config, in_order, reused)


def _run_stage(config: RunConfig, step: Step, manifests: Mapping[str, Manifest], listener: Listener) -> Manifest:
    stage, root = step.stage, config.store.root
    assert step.fingerprint is not None
    folder = manifest.output_folder(root, stage.name, step.fingerprint)
    if manifest.load(root, stage.name, step.fingerprint):
        raise _superseded(stage, folder)  # since we planned
    began, retries = time.monotonic(), tally.retries()
    # pyarrow takes half a second to import, which `syneg plan` need not wait for
    from syneg.store import recovery, tables

    with tempfile.TemporaryDirectory(prefix=f"syneg-{stage.name}-") as scratch:
        kept = {table: recovery.recover(folder, table) for table in stage.writes if stage.resumes_by_row}
        others = stage.writes if stage.key_is_content else ()

        def progress(message: str) -> None:
            listener.progressed(stage, message)

        context = Context(
            resources=config.resources,
            scratch=Path(scratch),
            attempt=files.join(folder, _ATTEMPT),
            progress=progress,
            done={table: keys for table, (_, keys) in kept.items()},
            earlier={table: recovery.Earlier(root, stage.name, step.fingerprint, table) for table in others},
            keep=tables.Keeper(folder),
            part_rows=config.store.part_rows,
            kept={
                table: tables.StoredTable(files.join(folder, table), tuple(parts)) for table, (parts, _) in kept.items()
            },
        )
        output = _function(stage)(_inputs(config, stage, manifests), context, **_sections(config, stage))
        parts = {table: kept[table][0] if table in kept else [] for table in stage.writes}
        for table, rows in output.tables.items():
            parts[table] += tables.write(rows, folder, table, progress)
        if output.together is not None:
            for table, written in tables.write_together(output.together, folder, progress):
                parts[table].append(written)
        if output.kept is not None:
            for table, written in tables.kept(output.kept, progress):
                parts[table].append(written)
        # In a folder of our own: another driver's files have the same names.
        places = {name: f"{name}-{uuid.uuid4().hex[:8]}" for name in stage.folders}
        copied = {name: folders.put(output.folders[name], files.join(folder, places[name])) for name in stage.folders}
    made = _manifest(config, step, output, parts, copied)
    made = made.model_copy(
        update={
            "places": places,
            "seconds": round(time.monotonic() - began, 3),
            "retries": tally.retries() - retries,
        }
    )
    if not manifest.publish(root, made):
        raise _superseded(stage, folder)
    folders.remove(files.join(folder, _ATTEMPT))
    return made


def _superseded(stage: Stage, folder: str) -> Superseded:
    return Superseded(
        f"Another run works on the same root and finished {stage.name} first ({folder}). Its output stands, nothing of "
        "ours is mixed into it, and this run ends here. Once the other one is through, run the same command again: it "
        "uses all that is there."
    )


def _function(stage: Stage) -> Callable[..., Output]:
    module, _, name = stage.function.partition(":")
    return getattr(importlib.import_module(module), name)


def _inputs(config: RunConfig, stage: Stage, manifests: Mapping[str, Manifest]) -> Inputs:
    from syneg.store import tables

    sources, places = {}, {}
    for name, address in stage.reads.items():
        maker, _, output = address.partition(".")
        made = manifests[maker]
        path = manifest.place(config.store.root, made, output)
        if output in made.tables:
            sources[name] = tables.StoredTable(path, tuple(made.tables[output]))
        else:
            places[name] = path
    return Inputs(sources, places)


def _manifest(
    config: RunConfig,
    step: Step,
    output: Output,
    parts: Mapping[str, list[Part]],
    copied: Mapping[str, list[Part]],
) -> Manifest:
    """The record of a stage that has written everything. Raises StageFailed if its ledger does not add up."""
    written = [part for of_table in parts.values() for part in of_table]
    rejected = Counter(output.rejected)
    for part in written:
        rejected.update(part.rejected)
    accepted = sum(part.rows - sum(part.rejected.values()) for part in written)
    rows_out = accepted if output.rows_out is None else output.rows_out
    rows_in = output.rows_in() if callable(output.rows_in) else output.rows_in
    if rows_in != rows_out + rejected.total():
        raise StageFailed(
            f"{step.stage.name}: {rows_in} rows came in, but {rows_out} went out and {rejected.total()} were "
            f"rejected ({dict(rejected)}). Rows were lost or doubled, so nothing was published. Please report this."
        )
    settings = {name: section.model_dump(mode="json") for name, section in _sections(config, step.stage).items()}
    return Manifest(
        stage=step.stage.name,
        fingerprint=step.fingerprint or "",
        tables=dict(parts),
        folders=dict(copied),
        rows_in=rows_in,
        rows_out=rows_out,
        rejected=dict(sorted(rejected.items())),
        seconds=0.0,
        facts=dict(output.facts()),
        settings=settings,
        versions={library: version(library) for library in ("syneg", "ray", "torch", "transformers")},
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _between(names: Sequence[str], first: str | None, last: str | None) -> Sequence[str]:
    first, last = first or names[0], last or names[-1]
    for name in (first, last):
        if name not in names:
            raise BadInput(f"There is no stage {name!r}. The stages are: {', '.join(names)}.")
    start, end = names.index(first), names.index(last)
    if end < start:
        raise BadInput(f"--from {first} comes after --to {last}. The order is: {', '.join(names)}.")
    return names[start : end + 1]


def _check_earlier(steps: Sequence[Step], asked: Sequence[str]) -> None:
    read = {
        address.partition(".")[0] for step in steps if step.stage.name in asked for address in step.stage.reads.values()
    }
    missing = [step.stage.name for step in steps if step.stage.name in read.difference(asked) and not step.done]
    if missing:
        raise BadInput(
            f"--from {asked[0]} needs finished stages before it, but {', '.join(missing)} did not finish with these "
            "settings. Run without --from, or from the first of these."
        )
