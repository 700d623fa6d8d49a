"""What is the same for mining, training and evaluation: prefixes, lengths and the model's folder. Imports no torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from syneg.store import models

if TYPE_CHECKING:  # a bare GPU machine measures training without the config's library
    from syneg.settings.encoder import EncoderConfig

Kind = Literal["query", "passage"]


@dataclass(frozen=True)
class Recipe:
    """How a text becomes tokens: a prefix by kind, and the length in tokens after which it is cut."""

    query_prompt: str
    passage_prompt: str
    query_max_length: int
    passage_max_length: int

    @classmethod
    def of(cls, config: "EncoderConfig") -> "Recipe":
        return cls(config.query_prompt, config.passage_prompt, config.query_max_length, config.passage_max_length)

    def prompt(self, kind: Kind) -> str:
        return self.query_prompt if kind == "query" else self.passage_prompt

    def max_length(self, kind: Kind) -> int:
        return self.query_max_length if kind == "query" else self.passage_max_length


def base_model(config: "EncoderConfig") -> str:
    """The address of the model that nothing was trained into. Raises BadInput if it is not there."""
    return models.check(config.model, "encoder.model")
