"""What a written negative must pass before anybody trains on it. The first rule that it breaks is its reason."""

import re

from syneg.generate.prompts import FENCE
from syneg.settings.generate import GateConfig
from syneg.texts import normalized

_QUERY_RUN, _POSITIVE_RUN = 3, 8  # words in a row that count as copied
_SHORT_POSITIVE = 20  # words; the ratio to a shorter positive would forbid a whole sentence
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # scripts without spaces: every character is a word
_WORD = re.compile(f"[{_IDEOGRAPHS}]|[^\\W{_IDEOGRAPHS}]+")
_META = re.compile(
    r"hard[ _-]negatives?|negative documents?|positive[ _]documents?|user[ _]quer(?:y|ies)"
    r"|(?:task|reasoning|hard negatives|attributes|format) definition"
    r"|(?:as|i am|i'm) an? (?:large )?(?:ai|language model|ai language model|assistant)\b"
    r"|^(?:i'm |i am )?sorry\b|^i (?:cannot|can't|can not|am unable to|won't)\b"
    r"|^(?:sure|certainly|of course)[,!.]"
    r"|^here(?: is|'s) (?:a|an|the|your) (?:new |hard |negative )*(?:document|text|json)\b"
)


def words(text: str) -> list[str]:
    """The words of `text`, normalised; punctuation is dropped, also between the parts of a dotted name."""
    return _WORD.findall(normalized(text))


def reject_reason(negative: str, query: str, positive: str, gate: GateConfig) -> str | None:
    """Why `negative` may not be used, from schemas.SYNTHETIC_REASONS; None if it may.

    `positive` is what the LLM was shown of it: a length is asked for relative to that.
    """
    negative_words, positive_words = words(negative), words(positive)
    if not negative_words:
        return "empty"
    if len(negative_words) < max(gate.min_words, gate.min_length_ratio * len(positive_words)):
        return "too_short"
    if len(negative_words) > gate.max_length_ratio * max(len(positive_words), _SHORT_POSITIVE):
        return "too_long"
    if _is_meta_text(negative, query, positive):
        return "meta_text"
    if covered(negative_words, words(query), _QUERY_RUN) > gate.max_query_overlap:
        return "copies_query"
    if covered(negative_words, positive_words, _POSITIVE_RUN) > gate.max_positive_overlap:
        return "copies_positive"
    return None


def _is_meta_text(negative: str, query: str, positive: str) -> bool:
    """Talk about the task, a refusal, or a fence. What the example itself speaks of is its subject, no meta text."""
    subject = normalized(f"{query}\n{positive}")
    phrases = (found[0] for found in _META.finditer(normalized(negative)))
    return bool(FENCE.search(negative)) or any(phrase not in subject for phrase in phrases)


def covered(text: list[str], source: list[str], run: int) -> float:
    """The share of the words of `text` that lie in a run of `run` words which stands in `source` too.

    A text shorter than a run is one run.
    """
    run = min(run, len(text))
    if not text:
        return 0.0
    known = {tuple(source[start : start + run]) for start in range(len(source) - run + 1)}
    copied, end = 0, 0  # `end`: the words before it are counted
    for start in range(len(text) - run + 1):
        if tuple(text[start : start + run]) in known:
            copied += start + run - max(start, end)
            end = start + run
    return copied / len(text)
