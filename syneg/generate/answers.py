"""What an engine's answer must look like, and what of it is used. Answers are parsed as JSON, never evaluated."""

import json
import re
from dataclasses import dataclass
from typing import Any

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can spell them; UTF-8, and so Arrow, cannot hold them

_NOTHING_WRITTEN = {"error": "engine_error", "no_answer": "no_answer", "refusal": "refused"}


@dataclass(frozen=True)
class Answer:
    hard_negative: str
    reasoning: str = ""


def schema(
    *, reflection: bool, max_reasoning_chars: int, min_negative_chars: int, max_negative_chars: int
) -> dict[str, Any]:
    """The JSON schema of an answer, the same for every request of a run, so that its grammar is compiled once.

    Every string is bounded: a small model that falls into repetition would otherwise be cut in the middle.
    """
    properties: dict[str, Any] = {}
    if reflection:  # before the negative: the model reasons, then writes
        properties["reasoning"] = {"type": "string", "maxLength": max_reasoning_chars}
    properties["hard_negative"] = {
        "type": "string",
        "minLength": min_negative_chars,
        "maxLength": max_negative_chars,
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def parse(text: str, finish_reason: str, *, reflection: bool) -> Answer | str:
    """The answer in `text`, or the reason why there is none. Never raises."""
    if finish_reason in _NOTHING_WRITTEN:
        return _NOTHING_WRITTEN[finish_reason]
    try:
        content = json.loads(text, strict=False)  # strict=False: line breaks inside a string are common and harmless
    except (ValueError, RecursionError):  # a deep nest of brackets is no answer either
        return "truncated" if finish_reason == "length" else "malformed"
    names = ("reasoning", "hard_negative") if reflection else ("hard_negative",)
    if not isinstance(content, dict) or not all(isinstance(content.get(name), str) for name in names):
        return "malformed"
    clean = {name: _LONE_SURROGATE.sub("�", content[name]).strip() for name in names}
    return Answer(**clean) if clean["hard_negative"] else "empty"
