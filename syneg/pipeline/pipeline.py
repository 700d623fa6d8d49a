"""What of a run's graph is done (`look`, `plan`), and doing the rest (`run`)."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from syneg.cluster import session
from syneg.config.run import RunConfig
from syneg.errors import BadInput, SynegError, Unreachable
from syneg.pipeline import checks, execution, fingerprint, schedule
from syneg.pipeline.graph import stages
from syneg.pipeline.run import Run
from syneg.stage import Stage
from syneg.store import files, manifest
from syneg.store.manifest import Manifest


@dataclass(frozen=True)
class Step:
    """A stage of one run: under which fingerprint, and whether its output is there already."""

    stage: Stage
    fingerprint: str | None  # None: an input cannot be read from here (only in a plan that allows it)
    manifest: Manifest | None
    unreachable: str = ""  # why storage did not let us look at what the stage reads or left

    @property
    def done(self) -> bool:
        return self.manifest is not None


@dataclass(frozen=True)
class Graph:
    """Stages to plan and run. What is `given` by a stage's name replaces its output: who reads it reads that."""

    stages: Sequence[Stage]
    given: Mapping[str, Manifest] = field(default_factory=dict)


class Listener(Protocol):
    """Who wants to know how a run goes on. `progressed` comes from the thread of its stage."""

    def started(self, stage: Stage) -> None: ...

    def progressed(self, stage: Stage, message: str) -> None: ...

    def finished(self, stage: Stage, result: Manifest, reused: bool) -> None: ...


def plan(config: RunConfig, allow_unreachable: bool = False, graph: Graph | None = None) -> list[Step]:
    """As `look`, once it is checked that nothing that is known by now will stop a stage that is not done.

    Raises:
        BadInput: also for a setting, file or model by which a stage would fail (`checks`).
        Unreachable: as `look`.
    """
    steps = look(config, allow_unreachable, graph)
    _check(config, steps)
    return steps


def look(config: RunConfig, allow_unreachable: bool = False, graph: Graph | None = None) -> list[Step]:
    """Every stage of the run (or of `graph`) with its fingerprint and what is done. Reads manifests, writes nothing.

    Raises:
        BadInput: a file or model that the config names is not there.
        Unreachable: object storage does not let us look; with `allow_unreachable` what is there is left open.
    """
    os.environ.update(config.storage.environment)
    graph = graph or Graph(stages(config))
    steps: dict[str, Step] = {}
    for stage in graph.stages:
        if given := graph.given.get(stage.name):
            steps[stage.name] = Step(stage, given.fingerprint, given)
            continue
        mark = found = None
        # Of a storage that did not answer no further output is asked: each would be tried many times over again.
        why = next((step.unreachable for step in steps.values() if step.unreachable), "")
        try:
            mark = _fingerprint(config, stage, steps)
            found = manifest.load(config.store.root, stage.name, mark) if mark and not why else None
        except Unreachable as error:
            if not allow_unreachable:
                raise
            why = str(error)
        steps[stage.name] = Step(stage, mark, found, why)
    return list(steps.values())


def _fingerprint(config: RunConfig, stage: Stage, steps: Mapping[str, Step]) -> str | None:
    reads = {}
    for name, address in stage.reads.items():
        source, _, table = address.partition(".")
        if steps[source].fingerprint is None:
            return None
        reads[name] = f"{steps[source].fingerprint}.{table}"
    return fingerprint.of_stage(stage.name, stage.version, execution.sections(config, stage), reads)


def check(config: RunConfig) -> None:
    """As `plan`, and that this machine has what the run takes (`checks.machine`). Raises as `plan`."""
    checks.machine(config, _check(config, look(config)))


def _check(config: RunConfig, steps: Iterable[Step]) -> list[Stage]:
    """The stages of `steps` that are to run, if nothing in the config would stop them. Where storage cannot be reached,
    and so the fingerprint is left open, the inputs are too."""
    to_run = [step for step in steps if not step.done]
    stages = [step.stage for step in to_run]
    checks.settings(config, stages)
    checks.inputs(config, [step.stage for step in to_run if step.fingerprint is not None])
    return stages


def run(
    config: RunConfig,
    listener: Listener,
    first: str | None = None,
    last: str | None = None,
    graph: Graph | None = None,
) -> Run:
    """Runs what is not done yet, from stage `first` to stage `last` (None: of all), and returns all manifests.

    Raises:
        BadInput: something the user brought is wrong, found before any stage starts, or while the corpus is read.
        StageFailed: a stage ended without a result.
    """
    steps = look(config, graph=graph)
    asked = _between([step.stage.name for step in steps], first, last)
    _check_earlier(steps, asked)
    chosen = {step.stage.name: step for step in steps if step.stage.name in asked}
    to_run = _check(config, chosen.values())
    checks.machine(config, to_run)
    if to_run:
        files.check_writable(config.store.root)
    manifests = {step.stage.name: step.manifest for step in steps if step.manifest}
    reused = set(manifests)
    reads = {name: step.stage.sources for name, step in chosen.items()}
    with ExitStack() as sessions:
        if any(stage.on_ray for stage in to_run):
            sessions.enter_context(session.joined(config.resources, config.storage))
            checks.workers(config, to_run)

        def begin(name: str) -> None:
            listener.started(chosen[name].stage)

        def work(name: str) -> Manifest:
            step = chosen[name]
            assert step.fingerprint is not None  # a plan that allows nothing unreachable
            if step.manifest:
                return step.manifest
            with _watched(config, step.stage, partial(listener.progressed, step.stage)) as progress:
                try:
                    made, ours = execution.run(config, step.stage, step.fingerprint, manifests, progress)
                except SynegError as error:
                    # Of a worker Ray gives back one of both kinds, whose text is the remote traceback.
                    if isinstance(cause := getattr(error, "cause", None), SynegError):
                        raise cause from error
                    raise
            if not ours:
                reused.add(name)
            return made

        def end(name: str, made: Manifest) -> None:
            manifests[name] = made
            listener.finished(chosen[name].stage, made, name in reused)

        schedule.run(list(chosen), reads, session.width(config.resources), begin, work, end)
    in_order = {step.stage.name: manifests[step.stage.name] for step in steps if step.stage.name in manifests}
    return Run(config, in_order, frozenset(reused))


def _watched(
    config: RunConfig, stage: Stage, progress: Callable[[str], None]
) -> AbstractContextManager[Callable[[str], None]]:
    """The progress of a stage; on a cluster it says, too, what the stage's workers wait for."""
    worker = checks.worker_of(config, stage)
    if worker is None or not config.resources.cluster:
        return nullcontext(progress)
    from syneg.on_ray import waiting

    return waiting.told(f"resources.{stage.pool}", worker, progress)


def _between(names: Sequence[str], first: str | None, last: str | None) -> Sequence[str]:
    first, last = first or names[0], last or names[-1]
    for name in (first, last):
        if name not in names:
            raise BadInput(f"There is no stage {name!r} in this run. Its stages are: {', '.join(names)}.")
    start, end = names.index(first), names.index(last)
    if end < start:
        raise BadInput(f"--from {first} comes after --to {last}. The order is: {', '.join(names)}.")
    return names[start : end + 1]


def _check_earlier(steps: Sequence[Step], asked: Sequence[str]) -> None:
    read = frozenset[str]().union(*(step.stage.sources for step in steps if step.stage.name in asked))
    missing = [step.stage.name for step in steps if step.stage.name in read.difference(asked) and not step.done]
    if missing:
        raise BadInput(
            f"--from {asked[0]} needs finished stages before it, but {', '.join(missing)} did not finish with these "
            "settings. Run without --from, or from the first of these."
        )
