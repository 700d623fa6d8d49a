"""What an engine's answer must look like, and what of it is used. Answers are parsed as JSON, never evaluated.

Where nothing holds a model to the schema, its object may be in a fence, behind what the model thought aloud, or
between sentences, and one negative as a text where a list was asked for, or the other way round. It was paid for, and
is used all the same.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from syneg.generate.reasons import BY_FINISH
from syneg.texts import storable

_REFUSAL = re.compile(
    r"(?:i['\u2019]?m |i am )?(?:very |so )?sorry\b|i (?:cannot|can not|am (?:un|not )able to|will not)\b"
    r"|i (?:can|won)['\u2019]?t\b"
    r"|as an ai\b|(?:unfortunately,? )i (?:cannot|can['\u2019]?t)\b"
)

_THOUGHTS = re.compile(r"(?:\s*<(think|thinking|thought)>.*?</\1>)+", re.DOTALL | re.IGNORECASE)
_THINKING = re.compile(r"\s*<(?:think|thinking|thought)>", re.IGNORECASE)
# Of models whose prompt ends in the opening tag, so that only the closing one is in the answer.
_THOUGHT = re.compile(r"</(?:think|thinking|thought)>", re.IGNORECASE)
_OBJECT = re.compile(r'\{\s*["}]')  # where one may begin; a brace in a sentence begins none
# A whole string, braces and escaped quotes included, or one that is cut; or a brace.
_BRACES = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[{}]', re.DOTALL)


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
    """As many as were asked for: each an answer, or the reason why there is none. Never raises.

    Of more than were asked for the first are used.
    """
    if finish_reason in BY_FINISH:
        return [BY_FINISH[finish_reason]] * negatives
    keys = ("hard_negatives", "hard_negative") if negatives > 1 else ("hard_negative", "hard_negatives")
    content = object_in(text, *keys)
    if content is None:
        return [_unreadable(text, finish_reason)] * negatives
    reasoning = content.get("reasoning", "" if not reflection else None)
    written = next((content[key] for key in keys if key in content), None)
    written = [written] if isinstance(written, str) else written
    if not isinstance(written, list) or (reflection and not isinstance(reasoning, str)):
        return ["malformed"] * negatives
    said = _clean(reasoning) if reflection else ""
    found = [_answer(value, said) for value in written[:negatives]]
    return found + ["malformed"] * (negatives - len(found))


def object_in(text: str, *keys: str) -> dict[str, Any] | None:
    """The object that is the answer: the whole text, or the first outermost one in it that has one of the `keys`.

    What has an earlier key goes before what has a later one.
    """
    whole = _loaded(text)
    if isinstance(whole, dict):
        return whole
    said = _said(text)
    found = [_loaded(said[start:end]) for start, end in _objects(said)]
    return next((value for key in keys for value in found if isinstance(value, dict) and key in value), None)


def _loaded(text: str) -> Any:
    """None where it is no JSON."""
    try:
        return json.loads(text, strict=False)  # strict=False: line breaks inside a string are common and harmless
    except (ValueError, RecursionError):  # a deep nest of brackets is no answer either
        return None


def _objects(text: str) -> Iterator[tuple[int, int]]:
    """Where outermost objects begin and end. None is looked for inside another, nor behind one that has no end."""
    end = 0
    while found := _OBJECT.search(text, end):
        start, depth = found.start(), 0
        for brace in _BRACES.finditer(text, start):
            depth += {"{": 1, "}": -1}.get(brace[0], 0)
            if not depth:
                end = brace.end()
                break
        else:
            return
        yield start, end


def _said(text: str) -> str:
    """`text` without what was thought aloud before it, where there may be an object that was only a draft."""
    text = _bare(text)
    if before := _THOUGHTS.match(text):
        text = text[before.end() :]
    if _THINKING.match(text):
        return ""  # it never came to an answer
    closing = _THOUGHT.search(text)
    if closing and not any(start < closing.start() < end for start, end in _objects(text)):
        text = text[closing.end() :]
    return text.strip()


def _bare(text: str) -> str:
    return text.strip().removeprefix("\ufeff").strip()


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
    if not _bare(text):
        return "empty"
    return "refused" if _REFUSAL.match(_said(text).lower()) else "malformed"
