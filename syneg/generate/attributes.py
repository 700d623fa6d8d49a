"""The attributes of a negative: lists that a person writes per collection, one value of each drawn per request."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syneg import strict_yaml
from syneg.errors import BadInput
from syneg.generate.keys import digest
from syneg.store import files

_LISTS = ("domain_name", "difficult_level", "length")


@dataclass(frozen=True)
class Attributes:
    """What one negative is asked to be. The empty strings stand for a prompt without attributes."""

    domain: str = ""
    difficulty: str = ""
    length: str = ""


@dataclass(frozen=True)
class AttributeLists:
    domain_name: tuple[str, ...]
    difficult_level: tuple[str, ...]
    length: tuple[str, ...]  # each completes "the length should be ... the positive_document"

    def draw(self, seed: int, key: str) -> Attributes:
        """One value of each list, uniformly; the same for the same seed and key on every machine."""
        chance = random.Random(digest("attributes", seed, key))
        return Attributes(
            chance.choice(self.domain_name), chance.choice(self.difficult_level), chance.choice(self.length)
        )


def asked_for(row: Mapping[str, str]) -> dict[str, str]:
    """The attributes of an answer or a negative, without those it has not. A length is a comparison, made whole."""
    drawn = {name: row[name] for name in ("domain", "difficulty", "length") if row[name]}
    return drawn | ({"length": f"{drawn['length']} the positive"} if "length" in drawn else {})


def load(path: str | None) -> AttributeLists:
    """The lists in a YAML file; None: those for a collection that nobody described.

    Raises:
        BadInput: the file is missing, is no YAML, or a list is missing, unknown, empty or holds no plain text.
    """
    path = path or str(Path(__file__).with_name("generic.yaml"))
    try:
        content = strict_yaml.load(files.read(path), f"generate.attributes: {path}")
    except OSError as error:
        raise BadInput(f"generate.attributes: {path} cannot be read ({error.strerror}). Give a YAML file.") from error
    if not isinstance(content, dict) or set(content) != set(_LISTS):
        seen = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise BadInput(f"generate.attributes: {path} holds {seen}; expected exactly the lists {', '.join(_LISTS)}.")
    return AttributeLists(**{name: _texts(content[name], name, path) for name in _LISTS})


def _texts(values: Any, name: str, path: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not values:
        raise BadInput(f"generate.attributes: {name} in {path} is {values!r}; expected a list of one or more texts.")
    for value in values:
        if not isinstance(value, str) or not value.strip():
            raise BadInput(f"generate.attributes: {name} in {path} holds {value!r}; expected a text (quote it).")
    return tuple(value.strip() for value in values)
