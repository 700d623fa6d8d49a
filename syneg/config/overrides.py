"""From a YAML file and `section.key=value` arguments to a RunConfig, or to one clear line for each mistake."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from syneg import redaction, strict_yaml
from syneg.config import hints, mistakes
from syneg.config.run import RunConfig
from syneg.errors import BadInput
from syneg.settings.section import inside, is_text
from syneg.store import files

SectionType = TypeVar("SectionType", bound=BaseModel)

_NOTHING = ("", "~", "null", "Null", "NULL")  # as YAML has it


def load(path: str, overrides: Sequence[str] = ()) -> RunConfig:
    """The config in the YAML file at `path`, with `overrides` such as "train.epochs=2" on top.

    Raises:
        BadInput: the file is missing or no YAML mapping, or an experiment; a key is unknown; a value has the wrong type
            or range.
    """
    settings = read(path)
    if "arms" in settings:
        raise BadInput(f"{path} is an experiment, not the config of one run: `syneg experiment {path}`.")
    return resolve(settings, [parse(override) for override in overrides], path)


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
        advice = dict.fromkeys(f" {said}" for said in map(hints.about_key, held) if said)
        raise BadInput(
            f"{where}: {', '.join(held)} holds a secret. A config is stored beside what it makes, and shown. Give "
            "secrets by the environment of the nodes (AWS_SECRET_ACCESS_KEY, ...); a setting names the variable."
            + "".join(advice)
        )
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        raise BadInput("\n".join(mistakes.explained(error, where, model))) from error


def parse(override: str) -> tuple[str, Any]:
    """ "train.epochs=2" as ("train.epochs", 2). Raises BadInput for what is no `key=value`.

    What a setting takes as a text is read as YAML only where it is quoted or nothing at all (null): as YAML `query: `
    would be a mapping, and `find ` would lose its space.
    """
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise BadInput(f"{override!r}: expected section.key=value, e.g. train.epochs=2.")
    if _is_text(key) and not value.lstrip().startswith(("'", '"')) and value.strip() not in _NOTHING:
        return key, value
    return key, strict_yaml.load(value, f"{override!r}")


def _is_text(key: str) -> bool:
    """Whether a run's setting of this name holds a text, in every kind of section that has it."""
    held: list[Any] = [RunConfig]
    for name in key.split("."):
        held = [inner for each in held for inner in inside(each, name)]
    return bool(held) and all(map(is_text, held))


def read(path: str) -> dict[str, Any]:
    """The mapping in a YAML file. Raises BadInput if it cannot be read or is none."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        looked = files.looked_from(path) if isinstance(error, FileNotFoundError) else ""
        raise BadInput(
            f"{path}: cannot be read ({error}){looked}. Give the path of a YAML file, e.g. configs/demo.yaml."
        ) from error
    settings = strict_yaml.load(text, path)
    if not isinstance(settings, dict):
        seen = {type(None): "nothing: it is empty", list: "a list"}.get(type(settings), "a single value")
        raise BadInput(f"{path}: expected a mapping of sections (corpus:, train:, ...), seen {seen}.")
    return settings


def _put(settings: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for depth, parent in enumerate(parents, 1):
        if settings.get(parent) is None:
            settings[parent] = _named_by_default(parents[:depth]) or {}
        inner = settings[parent]
        if not isinstance(inner, dict):
            raise BadInput(f"{key}={value}: {parent} is not a section, it holds {inner!r}.")
        settings = inner
    if value is None and _named_by_default(parents):
        settings.pop(last, None)
    else:
        settings[last] = value


def _named_by_default(parents: Sequence[str]) -> dict[str, Any] | None:
    """What a mapping of sections by name (`mine.samplers`) holds where a config says nothing: a change of one of them
    leaves the others. None where `parents` lead to something else."""
    model: Any = RunConfig
    for depth, name in enumerate(parents, 1):
        field = model.model_fields.get(name)
        kind = field and field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            model = kind
            continue
        default = field and field.get_default(call_default_factory=True)
        of_sections = isinstance(default, dict) and all(isinstance(one, BaseModel) for one in default.values())
        if depth < len(parents) or not default or not of_sections:
            return None
        return {key: section.model_dump(mode="json", exclude_defaults=True) for key, section in default.items()}
    return None
