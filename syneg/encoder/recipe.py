"""What is the same for mining, training and evaluation: prefixes and the model's folder. The lengths beside them are
mining's and evaluation's; training has its own (`train.*_max_length`). Imports no torch."""

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from syneg.errors import BadInput
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


def identity(config: "EncoderConfig", model: str) -> str:
    """All but the text that decides a text's vector, hashed: the weights of the folder `model` and every setting."""
    made_of = config.model_dump(mode="json") | {"model": models.digest(model)}
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def for_model(config: "EncoderConfig", model: str) -> "EncoderConfig":
    """`config` with another model. Prompts that the model's folder states, as sentence-transformers keeps them, go
    before those of the config: E5 without its "query: " would be scored as a worse model than it is.

    Raises:
        BadInput: there is no model.
    """
    stated = models.locate(model, "--model") / "config_sentence_transformers.json"
    prompts = {}
    if stated.exists():
        try:
            prompts = json.loads(stated.read_text(encoding="utf-8")).get("prompts") or {}
        except ValueError as error:
            raise BadInput(f"{stated}: no JSON ({error}). Expected what sentence-transformers writes.") from error
    own = {  # sentence-transformers writes empty ones where nobody stated any
        "query_prompt": prompts.get("query") or config.query_prompt,
        "passage_prompt": prompts.get("document") or prompts.get("passage") or config.passage_prompt,
    }
    return config.model_copy(update={"model": models.check(model), **own})
