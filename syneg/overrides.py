"""From a YAML file and `section.key=value` arguments to a RunConfig, or to one clear line for each mistake."""

import copy
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from syneg import redaction
from syneg.config import RunConfig
from syneg.errors import BadInput

SectionType = TypeVar("SectionType", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 2e-5 as a string; people who train models mean a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def load(path: str, overrides: Sequence[str] = ()) -> RunConfig:
    """The config in the YAML file at `path`, with `overrides` such as "train.epochs=2" on top.

    Raises:
        BadInput: the file is missing or no YAML mapping; a key is unknown; a value has the wrong type or range.
    """
    return resolve(read(path), [parse(override) for override in overrides], path)


def resolve(settings: Mapping[str, Any], changes: Iterable[tuple[str, Any]], where: str) -> RunConfig:
    """The config in `settings` with `changes` (dotted key, value) on top. `where` it came from is for the messages.

    Raises:
        BadInput: a key is unknown; a value has the wrong type or range.
    """
    changed = copy.deepcopy(dict(settings))
    for key, value in changes:
        _put(changed, key, value)
    return validated(RunConfig, changed, where)


def validated(model: type[SectionType], settings: Mapping[str, Any], where: str) -> SectionType:
    """`settings` as a `model`. Raises BadInput: one clear line for each mistake."""
    if held := list(redaction.found_in(settings)):
        raise BadInput(
            f"{where}: {', '.join(held)} holds a secret. A config is stored beside what it makes, and shown. Give "
            "secrets by the environment of the nodes (AWS_SECRET_ACCESS_KEY, ...); a setting names the variable."
        )
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        raise BadInput("\n".join(_explain(mistake, where, model) for mistake in error.errors())) from error


def parse(override: str) -> tuple[str, Any]:
    """ "train.epochs=2" as ("train.epochs", 2). Raises BadInput for what is no `key=value`."""
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise BadInput(f"{override!r}: expected section.key=value, e.g. train.epochs=2.")
    return key, _parse(value, f"{override!r}")


def read(path: str) -> dict[str, Any]:
    """The mapping in a YAML file. Raises BadInput if it cannot be read or is none."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path}: cannot be read ({error}). Give the path of a YAML file, e.g. configs/demo.yaml."
        ) from error
    settings = _parse(text, path)
    if not isinstance(settings, dict):
        raise BadInput(
            f"{path}: expected a mapping of sections (corpus:, train:, ...), seen {type(settings).__name__}."
        )
    return settings


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise BadInput(f"{where}{line}: no valid YAML ({getattr(error, 'problem', error)}).") from error


def _put(settings: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        inner = settings.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise BadInput(f"{key}={value}: {parent} is not a section, it holds {inner!r}.")
        settings = inner
    settings[last] = value


def _explain(mistake: Any, path: str, model: type[BaseModel]) -> str:
    section, key = _locate(mistake["loc"], model)
    if mistake["type"] == "extra_forbidden":
        parent, _, name = key.rpartition(".")
        near = difflib.get_close_matches(name, section.model_fields, n=1, cutoff=0.5)
        right = f"{parent}.{near[0]}" if near and parent else "".join(near)
        hint = f"did you mean {right}?" if near else f"expected one of {', '.join(section.model_fields)}."
        return f"{path}: unknown key {key}; {hint}"
    message = mistake["msg"].removeprefix("Value error, ").rstrip(".")
    if mistake["type"] == "missing":
        return f"{path}: {key} is missing."
    if mistake["type"] == "value_error":
        return f"{path}: {message}."
    return f"{path}: {key}: {message}; seen {mistake['input']!r}."


def _locate(loc: Sequence[str | int], model: type[BaseModel]) -> tuple[type[BaseModel], str]:
    """The section that a mistake is in, and its key as a person writes it, without the tag of a union's member."""
    section: Any = model
    names: list[str] = []
    inside: Any = model
    for part in loc:
        members = {get_args(kind.model_fields["kind"].annotation)[0]: kind for kind in _members(inside)}
        if part in members:
            section = inside = members[part]
            continue
        names.append(str(part))
        if isinstance(inside, type) and issubclass(inside, BaseModel):
            section = inside
            field = inside.model_fields.get(str(part))
            inside = field.annotation if field else None
        else:  # a mapping: its values
            inside = next(iter(get_args(inside)[1:]), None)
    return section, ".".join(names)


def _members(annotation: Any) -> list[type[BaseModel]]:
    """The sections of a union that is told apart by `kind`."""
    kinds = [getattr(kind, "__origin__", kind) for kind in get_args(annotation)]  # without their tags
    return [
        kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel) and "kind" in kind.model_fields
    ]
