"""What counts as the text of a passage, and when two texts are the same."""

import re
import unicodedata

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can spell them; UTF-8, and so Arrow, cannot hold them


def passage_text(title: str, text: str) -> str:
    """Title and text as one string, joined by a space as BEIR's evaluation does."""
    return f"{title} {text}".strip() if title else text.strip()


def storable(text: str) -> str:
    """`text` with U+FFFD for every lone surrogate."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def body_of(title: str, text: str) -> str:
    """What passages are compared by. The title is left out: mirrored passages often differ in it."""
    return normalized(text) or normalized(passage_text(title, text))


def normalized(text: str) -> str:
    """`text` for comparison: Unicode NFKC, case folded, every run of white space one space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
