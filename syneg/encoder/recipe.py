"""What is the same for mining, training and evaluation: prefixes, pooling and the model's folder. The lengths beside
them are mining's and evaluation's; training has its own (`train.*_max_length`). Imports no torch."""

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from syneg.encoder import architecture
from syneg.store import models

if TYPE_CHECKING:  # a bare GPU machine measures training without the config's library
    from syneg.settings.encoder import EncoderConfig

Kind = Literal["query", "passage"]


@dataclass(frozen=True)
class Recipe:
    """How a text becomes a vector: a prefix by kind, the length in tokens after which it is cut, and the pooling of a
    folder that says nothing of it (None: what sentence-transformers takes)."""

    query_prompt: str
    passage_prompt: str
    query_max_length: int
    passage_max_length: int
    pooling: str | None = None

    @classmethod
    def of(cls, config: "EncoderConfig") -> "Recipe":
        """Raises BadInput as `resolved`."""
        known = resolved(config)
        prompts = known.query_prompt or "", known.passage_prompt or ""
        return cls(*prompts, config.query_max_length, config.passage_max_length, config.pooling)

    def prompt(self, kind: Kind) -> str:
        return self.query_prompt if kind == "query" else self.passage_prompt

    def max_length(self, kind: Kind) -> int:
        return self.query_max_length if kind == "query" else self.passage_max_length


def resolved(config: "EncoderConfig") -> "EncoderConfig":
    """`config` with both prompts as texts: those that its model's folder states where it gives none itself.

    Every stage gets its section like this (`execution.sections`), so that E5 has its "query: " everywhere, and the
    fingerprint, the manifest and the model's card say so.

    Raises:
        BadInput: there is no model, or what states its prompts cannot be read.
    """
    if config.query_prompt is not None and config.passage_prompt is not None:
        return config
    stated = architecture.prompts(config.model, "encoder.model")
    given = {"query_prompt": config.query_prompt, "passage_prompt": config.passage_prompt}
    own = {"query_prompt": stated.query, "passage_prompt": stated.passage}
    return config.model_copy(update={name: own[name] if text is None else text for name, text in given.items()})


def base_model(config: "EncoderConfig") -> str:
    """The address of the model that nothing was trained into. Raises BadInput if it is not there."""
    return models.check(config.model, "encoder.model")


def identity(config: "EncoderConfig", model: str) -> str:
    """Hash of everything but the text that determines a vector: the weights of the folder `model` and every setting."""
    made_of = config.model_dump(mode="json") | {"model": models.digest(model)}
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def for_model(config: "EncoderConfig", model: str) -> "EncoderConfig":
    """`config` with another model. What its folder states of prompts and pooling goes before what the config gives: E5
    without its "query: " would be scored as a worse model than it is.

    Raises:
        BadInput: there is no model, or what states its prompts cannot be read.
    """
    stated = architecture.prompts(model, "--model")
    own = {  # sentence-transformers writes empty ones where nobody stated any
        "query_prompt": stated.query or config.query_prompt or "",
        "passage_prompt": stated.passage or config.passage_prompt or "",
        "pooling": None if architecture.states_pooling(model, "--model") else config.pooling,
    }
    return config.model_copy(update={"model": models.check(model, "--model"), **own})
