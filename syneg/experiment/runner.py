"""Runs every cell of a grid, a stage that several share once, and resumes where a killed attempt stopped."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from threading import Lock

from syneg import runs
from syneg.cluster import session
from syneg.config.run import RunConfig
from syneg.errors import BadInput, SynegError
from syneg.experiment.grid import Cell, Grid
from syneg.pipeline import pipeline, schedule
from syneg.pipeline.pipeline import Listener, Step
from syneg.pipeline.run import Run
from syneg.store.manifest import Manifest

Watched = Callable[[Cell, int, int], AbstractContextManager[Listener]]
"""Who hears of one cell: the cell, its number from 1, and how many there are."""


def bases(grid: Grid) -> dict[str, str]:
    """By tuned arm, the name of the untuned arm that it starts from: one with the same vectors.

    A base that the experiment does not name is called "base", or "base of ARM" where there are several.

    Raises:
        BadInput: a file or model is not there; an untuned arm's encoder is that of no tuned arm.
    """
    tuned = {cell.arm: _vectors(cell.config) for cell in grid.cells if cell.seed == grid.config.seeds[0]}
    named = {_vectors(config): arm for arm, config in grid.untuned.items()}
    if lonely := [arm for mark, arm in named.items() if mark not in tuned.values()]:
        raise BadInput(
            f"{', '.join(lonely)}: no tuned arm starts from the same model with the same prompts and lengths, so "
            "nothing would score it. Add one, or leave the arm out."
        )
    unnamed = [mark for mark in dict.fromkeys(tuned.values()) if mark not in named]
    for mark in unnamed:
        arm = next(arm for arm, found in tuned.items() if found == mark)
        named[mark] = "base" if len(unnamed) == 1 and "base" not in grid.config.arms else f"base of {arm}"
    return {arm: named[mark] for arm, mark in tuned.items()}


def run(grid: Grid, watched: Watched) -> dict[tuple[str, int], Run]:
    """All runs by arm and seed, each with its own page under {root}/runs. Those that are done are not run again.

    Seeds come before arms: a killed experiment has whole comparisons under the first seeds.

    Raises:
        BadInput, StageFailed: as `pipeline.run` does, for the first cell that fails; the finished ones are kept.
    """
    for cell in grid.cells:  # what the last arm lacks is missed before the first one starts
        if cell.seed == grid.config.seeds[0]:
            pipeline.check(cell.config)
    cells = {cell.config.name: (number, cell) for number, cell in enumerate(grid.cells, start=1)}
    shared = _Shared()
    finished: dict[tuple[str, int], Run] = {}

    def work(name: str) -> None:
        number, cell = cells[name]
        with watched(cell, number, len(cells)) as listener:
            if grid.config.parallel == 1:
                done = pipeline.run(cell.config, listener)
            else:
                done = _run_beside_others(cell.config, listener, shared)
        runs.publish_run(done, with_model=False)
        finished[cell.arm, cell.seed] = done

    with one_session(grid):
        schedule.run(list(cells), dict.fromkeys(cells, ()), grid.config.parallel, _nothing, work, _nothing)
    return finished


def _nothing(*_: object) -> None:
    """When a cell begins and ends, it is itself that tells."""


def _vectors(config: RunConfig) -> str:
    """The fingerprint of the untuned model's vectors: equal for configs whose base is the same."""
    (mark,) = (step.fingerprint for step in pipeline.look(config) if step.stage.name == "embed")
    assert mark is not None  # a plan that allows nothing unreachable
    return mark


class _Shared:
    """Stages that several cells have in common: one cell works at a stage, and where it fails no other one tries."""

    def __init__(self) -> None:
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)
        self._failures: dict[str, SynegError] = {}

    @contextmanager
    def alone(self, fingerprint: str) -> Iterator[None]:
        with self._locks[fingerprint]:
            if failure := self._failures.get(fingerprint):
                raise failure
            try:
                yield
            except SynegError as error:
                self._failures[fingerprint] = error
                raise


def _run_beside_others(config: RunConfig, listener: Listener, shared: _Shared) -> Run:
    """As `pipeline.run`, a stage at a time, so that of two cells that share a stage one waits for the other."""
    steps = pipeline.look(config)
    done = frozenset(step.stage.name for step in steps if step.done)
    manifests: Mapping[str, Manifest] = {}
    for step in steps:
        assert step.fingerprint is not None
        with shared.alone(step.fingerprint):
            manifests = pipeline.run(config, listener, step.stage.name, step.stage.name).manifests
    return Run(config, manifests, done)


@contextmanager
def one_session(grid: Grid, last: str | None = None) -> Iterator[None]:
    """One Ray for all cells, if any of them needs it up to its stage `last`: starting and ending one takes longer than
    many a stage."""
    steps = (step for cell in grid.cells for step in _up_to(last, pipeline.look(cell.config)))
    if any(step.stage.on_ray and not step.done for step in steps):
        with session.joined(grid.cells[0].config.resources, grid.cells[0].config.storage):
            yield
    else:
        yield


def _up_to(last: str | None, steps: list[Step]) -> list[Step]:
    return steps if last is None else steps[: 1 + [step.stage.name for step in steps].index(last)]
