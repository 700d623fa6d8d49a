"""From an experiment's YAML to the runs that it is made of. Pure but for reading the files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syneg.config import overrides
from syneg.config.run import RunConfig
from syneg.errors import BadInput
from syneg.settings.experiment import TUNED, ExperimentConfig


@dataclass(frozen=True)
class Cell:
    """One run of the grid: an arm under a seed."""

    arm: str
    seed: int
    config: RunConfig


@dataclass(frozen=True)
class Grid:
    """An experiment with its runs resolved: the first seed of every arm, then the second, ...

    `untuned` has the configs of the arms that are not trained.
    """

    config: ExperimentConfig
    cells: tuple[Cell, ...]
    untuned: Mapping[str, RunConfig]

    @property
    def root(self) -> str:
        return self.cells[0].config.store.root


def load(path: str, changes: Sequence[str] = ()) -> Grid:
    """The experiment in the YAML file at `path`.

    Of `changes`, those without a dot (seeds=[0], name=quick) go to the experiment, the others (train.epochs=2) to all
    arms, below what an arm says itself.

    Raises:
        BadInput: a file is missing, or the config of a run; a key is unknown; a value has the wrong type or range; a
            change would change no arm; arms differ in what makes their scores comparable.
    """
    settings = overrides.read(path)
    if "arms" not in settings and "corpus" in settings:
        raise BadInput(
            f"{path} is the config of one run: `syneg run {path}`. Expected an experiment: name, base and arms, e.g. "
            "configs/experiments/scifact.yaml."
        )
    parsed = [overrides.parse(change) for change in changes]
    settings |= {key: value for key, value in parsed if "." not in key}
    for_all = {key: value for key, value in parsed if "." in key}
    if for_all and isinstance(settings.get("settings") or {}, dict):
        settings["settings"] = {**(settings.get("settings") or {}), **for_all}
    if isinstance(settings.get("arms"), dict):
        settings["arms"] = {name: changes or {} for name, changes in settings["arms"].items()}
    experiment = overrides.validated(ExperimentConfig, settings, path)
    _check_heeded(for_all, experiment, path)
    base = overrides.read(experiment.base) if isinstance(experiment.base, str) else experiment.base

    def resolved(arm: str, name: str, more: Mapping[str, Any]) -> RunConfig:
        own = {key: value for key, value in experiment.arms[arm].items() if key != TUNED}
        together = {"resources.shared_by": experiment.parallel, **experiment.settings, **own, **more, "name": name}
        return overrides.resolve(base, together.items(), f"{path}, arm {arm}")

    cells = tuple(
        Cell(arm, seed, resolved(arm, f"{experiment.name}-{arm}-{seed}", dict.fromkeys(experiment.seeded, seed)))
        for seed in experiment.seeds
        for arm in experiment.tuned
    )
    untuned = {
        arm: resolved(arm, f"{experiment.name}-{arm}", {}) for arm in experiment.arms if arm not in experiment.tuned
    }
    _check_comparable([cell.config for cell in cells] + list(untuned.values()), path)
    return Grid(experiment, cells, untuned)


def _check_heeded(changes: Iterable[str], experiment: ExperimentConfig, path: str) -> None:
    for key in changes:
        heeding = experiment.arms if key.startswith("encoder.") else experiment.tuned  # the others only encode
        if all(any(f"{key}.".startswith(f"{own}.") for own in experiment.arms[arm]) for arm in heeding):
            raise BadInput(
                f"{path}: every arm sets {key} itself, so that {key}=... would change none. Change it in the arms, or "
                "write a file with others."
            )


def _check_comparable(configs: Sequence[RunConfig], path: str) -> None:
    """Scores are paired by query, so every arm has to be asked the same queries of the same passages."""
    first = configs[0]
    for config in configs[1:]:
        for section in ("corpus", "evaluate", "store"):
            if getattr(config, section) != getattr(first, section):
                raise BadInput(
                    f"{path}: the section {section} of {config.name} differs from that of {first.name}. All arms of "
                    "an experiment are scored on the same collection by the same measures: set it for all, under "
                    "`settings`."
                )
