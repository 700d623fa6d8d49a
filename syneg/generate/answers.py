"""What an engine's answer must look like, and what of it is used. Answers are parsed as JSON, never evaluated."""

import json
import re
from dataclasses import dataclass
from typing import Any

from syneg.texts import storable

_NOTHING_WRITTEN = {
    "error": "engine_error",
    "no_answer": "no_answer",
    "refusal": "refused",
    "over_budget": "over_budget",
}
_REFUSAL = re.compile(
    r"(?:i['\u2019]?m |i am )?(?:very |so )?sorry\b|i (?:cannot|can not|am (?:un|not )able to|will not)\b"
    r"|i (?:can|won)['\u2019]?t\b"
    r"|as an ai\b|(?:unfortunately,? )i (?:cannot|can['\u2019]?t)\b"
)


@dataclass(frozen=True)
class Answer:
    hard_negative: str
    reasoning: str = ""


def schema(
    *,
    reflection: bool,
    max_reasoning_chars: int,
    min_negative_chars: int,
    max_negative_chars: int,
    negatives: int = 1,
) -> dict[str, Any]:
    """The JSON schema of an answer, the same for every request of a run, so that its grammar is compiled once.

    Every string is bounded: a small model that falls into repetition would otherwise be cut in the middle.
    """
    properties: dict[str, Any] = {}
    if reflection:  # before the negative: the model reasons, then writes
        properties["reasoning"] = {"type": "string", "maxLength": max_reasoning_chars}
    negative = {"type": "string", "minLength": min_negative_chars, "maxLength": max_negative_chars}
    if negatives == 1:
        properties["hard_negative"] = negative
    else:
        properties["hard_negatives"] = {
            "type": "array",
            "items": negative,
            "minItems": negatives,
            "maxItems": negatives,
        }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def parse(text: str, finish_reason: str, *, reflection: bool, negatives: int = 1) -> list[Answer | str]:
    """As many as were asked for: each an answer, or the reason why there is none. Never raises."""
    if finish_reason in _NOTHING_WRITTEN:
        return [_NOTHING_WRITTEN[finish_reason]] * negatives
    try:
        content = json.loads(text, strict=False)  # strict=False: line breaks inside a string are common and harmless
    except (ValueError, RecursionError):  # a deep nest of brackets is no answer either
        return [_unreadable(text, finish_reason)] * negatives
    if not isinstance(content, dict):
        return ["malformed"] * negatives
    reasoning = content.get("reasoning", "" if not reflection else None)
    written = content.get("hard_negatives") if negatives > 1 else [content.get("hard_negative")]
    if not isinstance(written, list) or (reflection and not isinstance(reasoning, str)):
        return ["malformed"] * negatives
    said = _clean(reasoning) if reflection else ""
    found = [_answer(value, said) for value in written[:negatives]]
    return found + ["malformed"] * (negatives - len(found))


def _answer(negative: Any, reasoning: str) -> Answer | str:
    if not isinstance(negative, str):
        return "malformed"
    cleaned = _clean(negative)
    return Answer(cleaned, reasoning) if cleaned else "empty"


def _clean(text: str) -> str:
    return storable(text).strip()


def _unreadable(text: str, finish_reason: str) -> str:
    if finish_reason == "length":
        return "truncated"
    if not text.strip():
        return "empty"
    return "refused" if _REFUSAL.match(text.strip().lower()) else "malformed"
