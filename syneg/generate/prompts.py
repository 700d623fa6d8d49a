"""SyNeg's prompt (arXiv 2412.17250, phase 1): persona, example, then five sections in the published order.

A second layout moves what all rows share to the front and the documents to the end, so that an engine's prefix cache
reads the shared part once.

Of the published prompt the order, the persona and the sentence on attributes are known; the other texts are ours. They
lie in files, so that a person edits them without touching code.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import pyarrow as pa

from syneg.errors import BadInput
from syneg.generate.attributes import Attributes
from syneg.generate.keys import digest
from syneg.generate.reasons import TOLD
from syneg.store import files

_TITLES = {
    "persona": None,
    "example": None,
    "style": None,
    "task": "Task Definition",
    "reasoning": "Reasoning Definition",
    "hard_negatives": "Hard Negatives Definition",
    "attributes": "Attributes Definition",
    "format": "Format Definition",
}
_LAYOUTS = {
    "published": ("persona", "example", "style", "task", "reasoning", "hard_negatives", "attributes", "format"),
    "prefix_first": ("task", "reasoning", "hard_negatives", "persona", "attributes", "example", "style", "format"),
}
_REQUIRED = {
    "persona": ("domain_name",),
    "example": ("mark", "user_query", "positive_document"),
    "style": ("mark", "style_document"),
    "attributes": ("difficult_level", "length"),
    "format": ("answer",),
}
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_MARK = "[[{}]]"
FENCE = re.compile(r"\[\[[0-9a-f]{8}\]\]")
"""What a fence looks like, to recognise an answer that repeats one."""

Message = dict[str, str]
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


@dataclass(frozen=True)
class Prompt:
    """The sections that a run uses, by name, in their order. `version` is a hash of all that the LLM is told."""

    sections: dict[str, str]
    reflection: bool
    negatives: int = 1  # in one answer

    @property
    def version(self) -> str:
        parts = [text for section in self.sections.items() for text in section]
        return digest(*parts, *([self.negatives] if self.negatives > 1 else []))[:12]

    @property
    def answer(self) -> str:
        """How the format section names what is to be written."""
        several = f'"hard_negatives", a list of {self.negatives}, each about something else'
        negative = '"hard_negative"' if self.negatives == 1 else several
        return f'"reasoning" and {negative}' if self.reflection else negative

    def messages(
        self, query: str, positive: str, attributes: Attributes, mark: str, example: str = ""
    ) -> list[Message]:
        """The chat for one request. Texts are fenced by `mark`; nothing inside them is a placeholder.

        Without a style `example` the section that shows one is left out.
        """
        values = {
            "domain_name": attributes.domain,
            "difficult_level": attributes.difficulty,
            "length": attributes.length,
            "mark": mark,
            "user_query": query,
            "positive_document": positive,
            "style_document": example,
            "answer": self.answer,
        }
        shown = [text for name, text in self.sections.items() if name != "style" or example]
        return [{"role": "user", "content": "\n\n".join(filled(text, values) for text in shown)}]


def load(
    folder: str,
    *,
    reflection: bool = True,
    attributes: bool = True,
    style: bool = False,
    layout: str = "published",
    negatives: int = 1,
) -> Prompt:
    """The sections in `folder`. Without reflection, attributes or style example those that speak of them are left out.

    Raises:
        BadInput: a file is missing or empty, or lacks a placeholder without which its section says nothing.
    """
    asked = {"reasoning": reflection, "persona": attributes, "attributes": attributes, "style": style}
    names = [name for name in _LAYOUTS[layout] if asked.get(name, True)]
    return Prompt({name: _section(folder, name) for name in names}, reflection, negatives)


def again(reason: str) -> str:
    """What is said to the LLM about an answer of its own that was rejected."""
    return (
        f"This answer cannot be used: {TOLD.get(reason, reason)} Write it anew, as JSON of the same form, for the same "
        "user_query and positive_document."
    )


def filled(text: str, values: Mapping[str, str]) -> str:
    """`text` with its placeholders filled in, in one pass: what is filled in is never looked at again."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def template(path: str, required: Sequence[str], key: str) -> str:
    """The text in a file. `key` is the config's, for the message.

    Raises:
        BadInput: the file is missing or empty, or lacks one of the `required` placeholders.
    """
    try:
        body = files.read(path).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{key}: {path} cannot be read ({error}). Expected a text in UTF-8.") from error
    missing = [f"{{{value}}}" for value in required if f"{{{value}}}" not in body]
    if missing or not body:
        raise BadInput(f"{key}: {path} is empty or lacks {', '.join(missing) or 'text'}. Put it in.")
    return body


def _section(folder: str, name: str) -> str:
    body = template(files.join(folder, f"{name}.txt"), _REQUIRED.get(name, ()), "generate.prompt")
    title = _TITLES[name]
    return f"[{title}]\n{body}" if title else body


def fence(seed: int, key: str, *texts: str) -> str:
    """A mark that no text to be fenced holds, so that none can close its fence. Seeded by the request's key."""
    marks = (_MARK.format(digest("fence", seed, key, attempt)[:8]) for attempt in count())
    return next(mark for mark in marks if not any(mark in text for text in texts))
