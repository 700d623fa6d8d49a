"""Figures that others report, kept apart from ours: a YAML file that names where they come from."""

from typing import Annotated, Any

from pydantic import Field

from syneg.config import overrides
from syneg.settings.section import Section


class Figure(Section):
    """One figure as its source gives it. `arm` is the one of ours that it is shown beside."""

    arm: str | None = None
    what: str
    value: str


class Reported(Section):
    """What a source reports. Its collections, models and settings are not ours: the figures are not comparable."""

    source: str
    note: str = ""
    figures: Annotated[tuple[Figure, ...], Field(strict=False)]


def load(path: str | None) -> dict[str, Any]:
    """The content of the file at `path` as JSON values; empty if it is None. Raises BadInput for a malformed one."""
    if path is None:
        return {}
    return overrides.validated(Reported, overrides.read(path), path).model_dump(mode="json")
