"""What pydantic found wrong with a config, in one line a mistake and in the words of a config's author."""

import datetime
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from syneg.config.hints import hint, likely
from syneg.settings.section import kind_of, sections_in, values_in

_KEY = "[key]"  # pydantic's mark of a mapping's key, as against its value
_LONGEST = 80  # characters of a value that is shown
_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "dict_type": "a mapping, key: value",
    "tuple_type": "a list, [a, b, ...]",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "{le:g} or less",
    "literal_error": "{expected}",
    "string_too_short": "a text of {min_length} or more characters",
    "string_too_long": "a text of {max_length} characters or fewer",
    "too_short": "{min_length} or more entries",
}
_PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9._-]*$": "letters, digits, '.', '_' and '-', a letter or digit first",
    "^https?://": "an address that begins with http:// or https://",
}


@dataclass(frozen=True)
class _Place:
    """Where a mistake is: the key's names, the section that it is in, the type of what belongs there."""

    names: tuple[str, ...]
    section: type[BaseModel]
    type: Any
    of_key: bool = False  # the last name itself is wrong, not what stands under it

    @property
    def key(self) -> str:
        return ".".join(self.names)


def explained(error: ValidationError, where: str, model: type[BaseModel]) -> Iterator[str]:
    """A line for each thing that is wrong with `where`, which was to be a `model`."""
    mistakes = error.errors()
    places = [_place(mistake["loc"], model) for mistake in mistakes]
    told = set[str]()
    for number, place in enumerate(places):
        if place in places[:number]:
            continue  # another member of a union, told with the first
        same = [other for other, its in zip(mistakes, places, strict=True) if its == place]
        said, listed, keys = _explained(same, place, model).partition("; expected one of ")
        if listed and keys in told:  # which keys a section has is said once
            yield f"{where}: {said}."
            continue
        told.add(keys)
        yield f"{where}: {said}{listed}{keys}"


def _explained(mistakes: Sequence[Any], place: _Place, model: type[BaseModel]) -> str:
    kind, value, context = mistakes[0]["type"], mistakes[0]["input"], mistakes[0].get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key {place.key}; {hint(model, place.section, place.names, value)}"
    if kind == "missing":
        return f"{place.key} is missing."
    if kind == "value_error":
        message = str(context["error"]).rstrip(".")
        return f"{message}." if message.startswith(place.key) else f"{place.key}: {message}."
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _of_kind(value, place)
    if kind == "model_type":
        return f"{place.key}: {_of_section(value, place)}"
    expected = " or ".join(_expected(mistake) for mistake in mistakes)
    near = likely(str(value), re.findall("'([^']*)'", expected)) if kind == "literal_error" else ""
    if place.of_key:
        return f"{place.key}: {value!r} may not stand here; {near}expected {expected}."
    quoted = _quoted(place.key, value) if any(each["type"] == "string_type" for each in mistakes) else ""
    return f"{place.key}: {near}expected {expected}; seen {_shown(value)}{quoted}."


def _expected(mistake: Any) -> str:
    context = mistake.get("ctx", {})
    if mistake["type"] == "string_pattern_mismatch":
        pattern = context["pattern"]
        return _PATTERNS.get(pattern, f"a text of the form {pattern}")
    if words := _EXPECTED.get(mistake["type"]):
        return words.format_map(context).replace("False", "false")
    return mistake["msg"].removeprefix("Input should be ")


def _of_kind(value: Any, place: _Place) -> str:
    kinds = [kind for kind in map(kind_of, sections_in(place.type)) if kind]
    given = value.get("kind") if isinstance(value, dict) else value
    near = likely(str(given), kinds)
    return f"{place.key}.kind: {near}expected one of {', '.join(kinds)}; seen {_shown(given)}."


def _of_section(value: Any, place: _Place) -> str:
    (section, *_) = sections_in(place.type)
    first = list(section.model_fields)[:3]
    more = ", ..." if len(first) < len(section.model_fields) else ""
    expected = f"expected a mapping of its settings ({', '.join(first)}{more}); seen {_shown(value)}"
    if value is None and not any(field.is_required() for field in section.model_fields.values()):
        return f"{expected}. Write {{}} for the defaults."
    return f"{expected}."


def _quoted(key: str, value: Any) -> str:
    """What to do about a text that YAML took for something else."""
    if isinstance(value, bool):
        return ", as which YAML reads yes, no, on and off too: quote it"
    if isinstance(value, int | float | datetime.date):
        kind = "a date" if isinstance(value, datetime.date) else "a number"
        return f', which YAML takes for {kind}: quote it, {key}: "{value}"'
    return ""


def _shown(value: Any) -> str:
    if value is None:
        return "nothing (null)"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    if isinstance(value, datetime.date):
        text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _place(loc: Sequence[str | int], model: type[BaseModel]) -> _Place:
    """The place of a mistake, without the labels that pydantic gives to the members of a union."""
    section: type[BaseModel] = model
    names: list[str] = []
    inside: Any = model
    for part in loc:
        if part == _KEY:
            return _Place(tuple(names), section, inside, of_key=True)
        sections = sections_in(inside)
        kinds = {kind_of(each): each for each in sections} if len(sections) > 1 else {}
        if part in kinds:
            section = inside = kinds[part]
        elif sections:
            section = sections[0]
            names.append(str(part))
            field = section.model_fields.get(str(part))
            inside = field.annotation if field else None
        elif not _is_union(inside):
            names.append(str(part))
            inside = values_in(inside)
    return _Place(tuple(names), section, inside)


def _is_union(annotation: Any) -> bool:
    """Whether it takes values of several types, none of them a section. A value that may be missing is no union."""
    if get_origin(annotation) is Annotated:
        return _is_union(get_args(annotation)[0])
    members = set(get_args(annotation)) - {type(None)}
    return get_origin(annotation) in (Union, UnionType) and len(members) > 1
