"""A grid of arms and seeds."""

from typing import Annotated, Any

from pydantic import Field, PositiveInt
from pydantic import model_validator as _check

from syneg.settings.section import Section

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=60)]

TUNED = "tuned"


class ExperimentConfig(Section):
    """One experiment: `syneg experiment` takes it from a YAML file.

    An arm is a mapping of `section.key: value` over `base` and `settings`; `tuned: false` in it stands for the model
    as it came, which is not trained and has the scores that the runs of the same encoder find for their base.
    """

    name: Name
    base: str | dict[str, Any]  # the config that all arms start from: the path of a YAML file, or its content
    settings: dict[str, Any] = Field(default_factory=dict)  # section.key: value, over `base`, for all arms
    arms: Annotated[dict[Name, dict[str, Any]], Field(min_length=1)]
    seeds: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] = (0, 1, 2)
    seeded: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = ("train.seed", "mix.seed")
    against: str | None = None  # the arm to beat besides the untuned model, e.g. retrieved_only
    parallel: PositiveInt = 1  # arms that run side by side; a local Ray's CPUs they share
    reported: str | None = None  # a YAML file of figures that others report, shown beside ours under their name

    @property
    def tuned(self) -> tuple[str, ...]:
        return tuple(name for name, changes in self.arms.items() if changes.get(TUNED, True))

    @_check(mode="after")
    def _is_a_grid(self) -> "ExperimentConfig":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds names one twice: {list(self.seeds)}")
        given = {"settings": self.settings, **{f"arms.{name}": changes for name, changes in self.arms.items()}}
        for where, changes in given.items():
            if clash := sorted(set(self.seeded) & changes.keys()):
                raise ValueError(f"{where} sets {', '.join(clash)}, which `seeds` sets (see `seeded`): give seeds")
        for name, changes in self.arms.items():
            if not isinstance(changes.get(TUNED, True), bool):
                raise ValueError(f"arms.{name}.{TUNED} is {changes[TUNED]!r}; expected true or false")
        if not self.tuned:
            raise ValueError("no arm is tuned: there is nothing to compare")
        if self.against is not None and self.against not in self.tuned:
            raise ValueError(f"against names {self.against!r}, which is no tuned arm; expected one of {self.tuned}")
        return self
