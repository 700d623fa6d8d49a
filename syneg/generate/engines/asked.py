"""What every engine is told, and the columns that every engine answers with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from syneg.settings.resources import WorkerResources

LIGHT = 0.1
"""CPUs of a step beside the engine. With whole ones, two cores could not hold them all and would wait for ever."""

AFTER = 0.0
"""CPUs of a step behind the engine: none. Ray Data shares CPUs out from the first step on and lends the last one what
is left, which on two cores is nothing for as long as a step before it runs; and the one that waits for room
(`admission`) runs until something is stored."""


@dataclass(frozen=True)
class Pieces:
    """How requests reach a worker: `at_once` pieces of `rows`, each of which comes back, and is stored, as a whole."""

    rows: int
    at_once: int

    @classmethod
    def of(cls, workers: WorkerResources, at_stake: int) -> "Pieces":
        """At least two pieces make up `at_stake` rows, so that one can be asked while another is stored.

        Where the pool may grow, a worker is at half of them: the other half waits, which is what makes Ray start more.
        """
        rows = max(1, min(workers.batch_rows, at_stake // 2))
        grows = workers.min_workers < workers.max_workers
        return cls(rows, max(1, at_stake // rows // (2 if grows else 1)))


@dataclass(frozen=True)
class Asked:
    """How the LLM is to answer, the same for all requests."""

    max_tokens: int
    max_model_len: int
    temperature: float = 0.0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    schema: dict[str, Any] | None = None  # the JSON that an answer has to be
    choices: tuple[str, str] | None = None  # one of two words; told is the probability of the first against the second


ANSWERED = pa.schema(
    [
        ("answer", pa.string()),
        ("finish_reason", pa.string()),  # "stop", "length", "refusal", "error" or "no_answer"
        ("error", pa.string()),
        ("input_tokens", pa.int32()),
        ("output_tokens", pa.int32()),
        ("cached_tokens", pa.int32()),
        ("probability", pa.float32()),  # null where no choice was asked for
        ("asked_at", pa.float64()),
        ("seconds", pa.float32()),
    ]
)


def share(probabilities: Mapping[str, float], choices: tuple[str, str]) -> float | None:
    """How likely the first choice is against the second, from the probabilities of tokens, in whatever spelling."""
    first, second = (
        sum(value for token, value in probabilities.items() if token.strip().lower() == choice.lower())
        for choice in choices
    )
    return first / (first + second) if first + second else None
