"""What counts as the text of a passage, when two texts are the same, and what their words are."""

import re
import unicodedata
from itertools import pairwise

# Signs that belong to the letter before them, which Python's \w leaves out: vowels of Hindi, points of Hebrew.
_SIGNS = "".join(chr(code) for code in range(0x300, 0x1B00) if unicodedata.category(chr(code))[0] == "M")
# Scripts without spaces between words: Chinese and Japanese, and the letters of Thai, Lao, Burmese and Khmer.
_SOUTHEAST = (*range(0xE00, 0xF00), *range(0x1000, 0x10A0), *range(0x1780, 0x1800))
_SPACELESS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff" + "".join(
    chr(code) for code in _SOUTHEAST if unicodedata.category(chr(code))[0] == "L"
)
_CHARACTER = f"[{_SPACELESS}][{_SIGNS}]*"
_WORD = re.compile(f"{_CHARACTER}|(?:[^\\W{_SPACELESS}]|[{_SIGNS}])+")
_ASCII_WORD = re.compile(r"\w+")
_RUN, _CHARACTERS = re.compile(f"(?:{_CHARACTER})+"), re.compile(_CHARACTER)
_END = re.compile(f"{_CHARACTER}|[^\\s{_SPACELESS}]+")
UNFIT = re.compile("[\0\ud800-\udfff]")
"""JSON can spell lone surrogates, which Arrow's strings cannot hold, and NUL, which C's and many tokenizers' cannot."""


def passage_text(title: str, text: str) -> str:
    """Title and text as one string, joined by a space as BEIR's evaluation does."""
    return f"{title} {text}".strip() if title else text.strip()


def storable(text: str) -> str:
    """`text` with U+FFFD for every NUL and every lone surrogate."""
    return UNFIT.sub("\ufffd", text)


def body_of(title: str, text: str) -> str:
    """What passages are compared by. The title is left out: mirrored passages often differ in it."""
    return normalized(text) or normalized(passage_text(title, text))


def normalized(text: str) -> str:
    """`text` for comparison: Unicode NFKC, case folded, every run of white space one space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def words(text: str) -> list[str]:
    """The words of `text`, normalised; punctuation is dropped, also between the parts of a dotted name.

    In a script without spaces every character is a word.
    """
    return words_of_normalized(normalized(text))


def words_of_normalized(text: str) -> list[str]:
    return (_ASCII_WORD if text.isascii() else _WORD).findall(text)


def first_words(text: str, limit: int) -> str:
    """`text` up to the end of its `limit`-th word, white space and punctuation as they were."""
    ends = (word.end() for word in _END.finditer(text))
    return text[: next((end for number, end in enumerate(ends, 1) if number == limit), len(text))]


TERM = f"(?u)\\b\\w[\\w{_SIGNS}]+"
"""What is a term of `in_terms`: two or more letters, digits and signs. Of ASCII text the same as bm25s's own."""


def in_terms(text: str) -> str:
    """`text` with spaces in what has none: of a script without them every two neighbouring characters are a term, as in
    Lucene's analyser for Chinese, Japanese and Korean."""
    return text if text.isascii() else _RUN.sub(_pairs, text)


def _pairs(run: re.Match[str]) -> str:
    characters = _CHARACTERS.findall(run[0])
    return " ".join(["", *map("".join, pairwise(characters)), ""])
