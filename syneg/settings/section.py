"""What every section of the configuration is made of."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Content:
    """Marks a field that names something by its address: "input" files, a "model", or "text" (a file or a folder)."""

    def __init__(self, kind: Literal["input", "model", "text"]) -> None:
        self.kind = kind


ModelAddress = Annotated[str, Content("model")]
TextPath = Annotated[str, Content("text")]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Frozen, strict about types, and closed: an unknown key is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())

    def decides_rows(self) -> bool:
        """Whether the fingerprint covers it. A section that only says how fast or how far to go does not."""
        return True
