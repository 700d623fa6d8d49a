"""SyNeg's prompt (arXiv 2412.17250, phase 1): persona, example, then five sections in the published order.

Of the published prompt the order, the persona and the sentence on attributes are known; the other texts are ours. They
lie in files, so that a person edits them without touching code.
"""

import re
from dataclasses import dataclass
from itertools import count

import pyarrow as pa

from syneg.errors import BadInput
from syneg.generate.attributes import Attributes
from syneg.generate.keys import digest
from syneg.store import files

_TITLES = {
    "persona": None,
    "example": None,
    "task": "Task Definition",
    "reasoning": "Reasoning Definition",
    "hard_negatives": "Hard Negatives Definition",
    "attributes": "Attributes Definition",
    "format": "Format Definition",
}
_REQUIRED = {
    "persona": ("domain_name",),
    "example": ("mark", "user_query", "positive_document"),
    "attributes": ("difficult_level", "length"),
    "format": ("answer",),
}
_PLACEHOLDER = re.compile(r"\{(domain_name|difficult_level|length|mark|user_query|positive_document|answer)\}")
_MARK = "[[{}]]"
FENCE = re.compile(r"\[\[[0-9a-f]{8}\]\]")
"""What a fence looks like, to recognise an answer that repeats one."""

Message = dict[str, str]
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


@dataclass(frozen=True)
class Prompt:
    """The sections that a run uses, by name, in their order. `version` is a hash of them."""

    sections: dict[str, str]
    reflection: bool

    @property
    def version(self) -> str:
        return digest(*(text for section in self.sections.items() for text in section))[:12]

    def messages(self, query: str, positive: str, attributes: Attributes, mark: str) -> list[Message]:
        """The chat for one request. Query and positive are fenced by `mark`; nothing inside them is a placeholder."""
        values = {
            "domain_name": attributes.domain,
            "difficult_level": attributes.difficulty,
            "length": attributes.length,
            "mark": mark,
            "user_query": query,
            "positive_document": positive,
            "answer": '"reasoning" and "hard_negative"' if self.reflection else '"hard_negative"',
        }
        # One pass over the templates: what is filled in is never looked at again.
        filled = [_PLACEHOLDER.sub(lambda found: values[found[1]], text) for text in self.sections.values()]
        return [{"role": "user", "content": "\n\n".join(filled)}]


def load(folder: str, *, reflection: bool, use_attributes: bool) -> Prompt:
    """The sections in `folder`. Without reflection or attributes the sections that speak of them are left out.

    Raises:
        BadInput: a file is missing or empty, or lacks a placeholder without which its section says nothing.
    """
    left_out = ({"reasoning"} if not reflection else set()) | (
        {"persona", "attributes"} if not use_attributes else set()
    )
    names = [name for name in _TITLES if name not in left_out]
    return Prompt({name: _section(folder, name) for name in names}, reflection)


def _section(folder: str, name: str) -> str:
    path = files.join(folder, f"{name}.txt")
    try:
        body = files.read(path).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        expected = ", ".join(f"{known}.txt" for known in _TITLES)
        raise BadInput(
            f"generate.prompt: {path} cannot be read ({error}). Expected UTF-8 files: {expected}."
        ) from error
    missing = [f"{{{value}}}" for value in _REQUIRED.get(name, ()) if f"{{{value}}}" not in body]
    if missing or not body:
        raise BadInput(f"generate.prompt: {path} is empty or lacks {', '.join(missing) or 'text'}. Put it in.")
    title = _TITLES[name]
    return f"[{title}]\n{body}" if title else body


def fence(seed: int, key: str, *texts: str) -> str:
    """A mark that no text to be fenced holds, so that none can close its fence. Seeded by the request's key."""
    marks = (_MARK.format(digest("fence", seed, key, attempt)[:8]) for attempt in count())
    return next(mark for mark in marks if not any(mark in text for text in texts))


def first_words(text: str, limit: int) -> str:
    """`text` up to the end of its `limit`-th word, white space as it was."""
    ends = (word.end() for word in re.finditer(r"\S+", text))
    return text[: next((end for number, end in enumerate(ends, 1) if number == limit), len(text))]
