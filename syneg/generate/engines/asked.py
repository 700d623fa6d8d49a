"""What every engine gets, and the columns that every engine answers with, also when read from a chat completion."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from syneg.settings.resources import WorkerResources
from syneg.texts import storable

LIGHT = 0.1
"""CPUs of a step beside the engine. With whole ones, two cores could not hold them all and would wait for ever."""

AFTER = 0.0
"""CPUs of a step behind the engine: none. Ray Data shares CPUs out from the first operator on and gives the last
operator only leftovers, on two cores nothing until the earlier ones finish; and the one that waits for room
(`admission`) runs until something is stored."""

LIGHTLY: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow", "num_cpus": LIGHT}
"""What `map_batches` takes for a step beside the engine that gets blocks as they come."""

LIGHTLY_AFTER: dict[str, Any] = LIGHTLY | {"num_cpus": AFTER}
"""The same for a step behind the engine."""

_FINISHED = {"stop": "stop", "length": "length", "content_filter": "refusal"}
_FILTERED = ("content_filter", "content_policy_violation")  # codes of errors
_SHOWN = 300  # characters of an odd reply that its error shows
_MOST_TOKENS = 10**8  # of a request; what is more is no count, and would not fit its column


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
class Decoding:
    """How the LLM is to answer, the same for all requests."""

    max_tokens: int
    max_model_len: int
    temperature: float = 0.0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    schema: dict[str, Any] | None = None  # the JSON that an answer has to be
    choices: tuple[str, str] | None = (
        None  # one of two words; reported is the probability of the first against the second
    )


ANSWERED = pa.schema(
    [
        ("answer", pa.string()),
        ("finish_reason", pa.string()),  # "stop", "length", "refusal", "error" or "no_answer"
        ("error", pa.string()),
        ("input_tokens", pa.int32()),  # 0 where the engine does not tell its tokens
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


def error_in(reply: Any) -> Any:
    """What a reply says that went wrong, as gateways do with status 200; None where it says nothing of the kind."""
    match reply:
        case {"error": error} if error:
            return error
        case {"choices": [{"error": error}, *_]} if error:
            return error
        case {"choices": [{"finish_reason": "error"}, *_]}:
            return "finish_reason is error"
        case {"object": "error"}:
            return reply
    return None


def of_reply(reply: Any, choices: tuple[str, str] | None = None) -> dict[str, Any]:
    """A chat completion, as the interface gives it, as columns of `ANSWERED`; an error for whatever is none."""
    paid = _paid(reply)
    if error := error_in(reply):
        return of_error(error, f"The reply holds an error: {_shown(error)}") | paid
    choice = _first_choice(reply)
    if choice is None:
        return (
            failed(
                f"No chat completion came, but {_shown(reply)}. Look at the engine's base_url: it must lead to an "
                "OpenAI-compatible API, whose address most often ends in /v1, and to no web page."
            )
            | paid
        )
    message = _inside(choice, "message")
    refusal = message.get("refusal")
    text = _text(message.get("content"))
    finished = _FINISHED.get(str(choice.get("finish_reason") or "stop"), "stop")
    return {
        "answer": storable(text or str(refusal or "")),
        "finish_reason": "refusal" if refusal else finished,
        "error": None,
        "probability": share(_first_token(choice), choices) if choices else None,
    } | _paid(reply, text)


def of_error(error: Any, text: str) -> dict[str, Any]:
    """Columns of `ANSWERED` for an error, `text` to a reader. A content filter's is an answer that was refused, as it
    is where a finish_reason tells it."""
    match error:
        case {"code": str(code)} if code.lower() in _FILTERED:
            said = str(error.get("message") or "")
            return failed("") | {"answer": storable(said), "finish_reason": "refusal", "error": None}
    return failed(text)


def _first_choice(reply: Any) -> dict[str, Any] | None:
    """Empty where nothing was chosen; None where the reply is no chat completion."""
    match reply:
        case {"choices": []}:
            return {}
        case {"choices": [{"message": None | dict()} as choice, *_]}:
            content = _inside(choice, "message").get("content")
            return choice if content is None or isinstance(content, str | list) else None
    return None


def _text(content: str | list[Any] | None) -> str:
    """Parts that are no text are left out: they hold what a model thought, or sources."""
    if not isinstance(content, list):
        return content or ""
    texts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
    return "".join(text for text in texts if isinstance(text, str))


def _paid(reply: Any, text: str = "") -> dict[str, Any]:
    """The columns of tokens, which an answer that cannot be used costs too. Both are 0 where one is not told: half of
    what was paid would pass for all of it."""
    usage = _inside(reply, "usage")
    read, written = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    told = read is not None and (written is not None or not text)
    return {
        "input_tokens": (read or 0) if told else 0,
        "output_tokens": (written or 0) if told else 0,
        "cached_tokens": _count(_inside(usage, "prompt_tokens_details").get("cached_tokens")),
    }


def _count(value: Any) -> int | None:
    """Some gateways tell it as text."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 10:
        value = int(value)
    counts = isinstance(value, int | float) and 0 <= value <= _MOST_TOKENS and float(value).is_integer()
    return int(value) if counts else None


def _inside(value: Any, name: str) -> dict[str, Any]:
    """The object that `value` holds under `name`, or an empty one."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _first_token(choice: dict[str, Any]) -> dict[str, float]:
    """The probabilities of what may come first in the answer."""
    match choice:
        case {"logprobs": {"content": [{"top_logprobs": [*tokens]}, *_]}}:
            return {token["token"]: math.exp(token["logprob"]) for token in tokens}
    return {}


def _shown(seen: Any) -> str:
    """The beginning of what came, in a line."""
    text = json.dumps(" ".join(seen.split()) if isinstance(seen, str) else seen, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def failed(error: str) -> dict[str, Any]:
    return {"answer": "", "finish_reason": "error", "error": storable(error), "input_tokens": 0, "output_tokens": 0}
