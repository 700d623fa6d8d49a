"""What every section of the configuration is made of."""

from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from syneg.settings.address import expanded, flaw


def _address(value: Any) -> Any:
    """Checked, and expanded here and nowhere else: all who use it mean the same place."""
    if not isinstance(value, str):
        return value
    if wrong := flaw(value):
        raise ValueError(wrong)
    return expanded(value)


class Content:
    """Marks a field that names something by its address: "input" files, a "model", or "text" (a file or a folder).

    With it comes the check that the address is one; ~ becomes the home folder.
    """

    def __init__(self, kind: Literal["input", "model", "text"]) -> None:
        self.kind = kind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(_address, handler(source))


class Circumstance:
    """Marks a field that decides no row: where something is asked, how much may fail. It enters no fingerprint."""


Address = Annotated[str, AfterValidator(_address)]
"""Of a place to write to, whose content enters no fingerprint."""
ModelAddress = Annotated[str, Content("model")]
TextPath = Annotated[str, Content("text")]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Frozen, strict about types, and closed: an unknown key is a mistake. No number is infinite."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())

    def decides_rows(self) -> bool:
        """Whether the fingerprint covers it. A section that only says how fast or how far to go is left out, and so is
        one that is switched off."""
        return True

    def circumstances(self) -> set[str]:
        """The names of its fields that decide no row, by their mark or because the others leave them unread."""
        fields = type(self).model_fields.items()
        return {name for name, field in fields if any(isinstance(mark, Circumstance) for mark in field.metadata)}


def sections_in(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a field of this type may hold: one, none, or a union's members. Not those in a mapping."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return sections_in(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [section for member in get_args(annotation) for section in sections_in(member)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []


def values_in(annotation: Any) -> Any:
    """The type of what a mapping, list or tuple holds; None for a type that holds nothing."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return values_in(arguments[0])
    if origin in (Union, UnionType):
        return next((held for held in map(values_in, arguments) if held is not None), None)
    return arguments[-1 if origin is dict else 0] if origin in (dict, list, tuple) else None


def inside(annotation: Any, name: str) -> list[Any]:
    """The types of what a field of this type holds under `name`: of each section that has it, or of a mapping."""
    if sections := sections_in(annotation):
        return [section.model_fields[name].annotation for section in sections if name in section.model_fields]
    held = values_in(annotation)
    return [] if held is None else [held]


def is_text(annotation: Any) -> bool:
    """Whether a field of this type takes a text and nothing else, unless it may be missing."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return is_text(arguments[0])
    if origin in (Union, UnionType):
        return all(is_text(member) for member in arguments if member is not type(None))
    return annotation is str


def kind_of(section: type[BaseModel]) -> str | None:
    """The `kind` that tells a section apart from the other members of its union."""
    return get_args(section.model_fields["kind"].annotation)[0] if "kind" in section.model_fields else None
