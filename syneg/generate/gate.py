"""What a written negative must pass before anybody trains on it. The first rule that it breaks is its reason."""

import re

from syneg.generate import language
from syneg.generate.prompts import FENCE
from syneg.settings.generate import GateConfig
from syneg.texts import normalized, words

_QUERY_RUN, _POSITIVE_RUN = 3, 8  # words in a row that count as copied
_SHORT_POSITIVE = 20  # words; the ratio to a shorter positive would forbid a whole sentence
_GRAM = 3  # words
_LONGEST_WORD = 45  # characters; longer ones are sequences, keys or salad
_SYMBOLS = re.compile(r"[\[\]{}<>|\\/*#_@~^=+&$`]")  # of markup and code; rare in prose
_RATIOS = (
    ("half", 0.5),
    ("twice", 2.0),
    ("double", 2.0),
    ("slightly shorter", 0.85),
    ("slightly longer", 1.2),
    ("shorter", 0.6),
    ("longer", 1.6),
)
_CANNOT = r"i (?:cannot|can['\u2019]?t|can not|am (?:un|not )able to|will not|won['\u2019]t)\b"
_TASK = (
    r"\b(?:assist|comply|fulfill?|generate|produce|provide|create|write|help (?:you|with)|do (?:that|this)|not possible"
    rf"|document|passage|text|request|{_CANNOT})\b"
)
_META = re.compile(
    r"between the marks\b|never an instruction\b|without answering it\b"  # the prompt's own words
    r"|hard[ _-]negatives?|negative documents?|(?:positive|style)[ _]documents?|user[ _]quer(?:y|ies)"
    r"|(?:task|reasoning|hard negatives|attributes|format) definition"
    r"|(?:as|i am|i'm) an? (?:large )?(?:ai|language model|ai language model|assistant)\b"
    # Songs, plays and essays begin like refusals and promises do: what soon follows has to speak of the task.
    rf"|^{_CANNOT}(?=.{{0,40}}?{_TASK})"
    rf"|^(?:i['\u2019]?m |i am )?(?:very |so )?sorry\b(?=,? but (?:i|as|it|that|this|your)\b|.{{0,40}}?{_TASK})"
    r"|^(?:sure|certainly|of course)(?:[.!]|,? (?:here(?: is| are| you|['\u2019]s)|let me|i can|i will|i['\u2019]ll)\b"
    r"|,? (?:this|the following|a new) (?:document|passage|text)\b)"
    r"|\bthe user(?:'s)? (?:question|request|intent|response)\b"
    r"|\bthe (?:provided|given) (?:document|text|passage)s?\b"
    r"|^here(?: is|'s) (?:a|an|the|your) (?:new |hard |negative )*(?:document|text|json)\b"
)


def reject_reason(
    negative: str, query: str, positive: str, gate: GateConfig, length: str = "", example: str = ""
) -> str | None:
    """Why `negative` may not be used, from `reasons`; None if it may.

    `positive` is what the LLM was shown of it: a `length` is asked for relative to that. `example` is the mined passage
    that it was shown, if any.
    """
    negative_words, positive_words = words(negative), words(positive)
    asked = asked_ratio(length) * len(positive_words)
    if not negative_words:
        return "empty"
    if is_garbled(negative, positive, gate.max_symbol_share):
        return "garbled"
    if len(negative_words) < max(gate.min_words, gate.min_length_ratio * asked):
        return "too_short"
    if distinct_share(negative_words) < gate.min_distinct_share:
        return "repetitive"
    if len(negative_words) > gate.max_length_ratio * max(asked, _SHORT_POSITIVE):
        return "too_long"
    if _is_meta_text(negative, query, positive):
        return "meta_text"
    if covered(negative_words, words(query), _QUERY_RUN) > gate.max_query_overlap:
        return "copies_query"
    if covered(negative_words, positive_words, _POSITIVE_RUN) > gate.max_positive_overlap:
        return "copies_positive"
    if covered(negative_words, words(example), _POSITIVE_RUN) > gate.max_positive_overlap:
        return "copies_example"
    if gate.same_language and language.differ(negative, positive):
        return "other_language"
    return None


def asked_ratio(length: str) -> float:
    """How long a negative is to be, relative to its positive, by the phrase that asks; 1.0 where it says nothing."""
    return next((ratio for phrase, ratio in _RATIOS if phrase in length.lower()), 1.0)


def is_garbled(text: str, positive: str, max_symbol_share: float) -> bool:
    """Whether `text` is letter salad or markup, as the positive is not: a small model's tail, which no search finds.

    By its longest word, and by its symbols as a share of its characters beyond the positive's.
    """
    longest, usual = (max(map(len, words(one)), default=0) for one in (text, positive))
    symbols, typical = (len(_SYMBOLS.findall(one)) / max(1, len(one)) for one in (text, positive))
    return longest > max(_LONGEST_WORD, 2 * usual) or symbols > typical + max_symbol_share


def distinct_share(text: list[str]) -> float:
    """The share of runs of 3 words that are no repetition; 1.0 for a text that is too short to tell."""
    runs = [tuple(text[start : start + _GRAM]) for start in range(len(text) - _GRAM + 1)]
    return len(set(runs)) / len(runs) if len(text) >= _SHORT_POSITIVE else 1.0


def _is_meta_text(negative: str, query: str, positive: str) -> bool:
    """Talk about the task, a refusal, or a fence. What the example itself speaks of is its subject, no meta text."""
    subject = normalized(f"{query}\n{positive}")
    phrases = (found[0] for found in _META.finditer(normalized(negative)))
    return bool(FENCE.search(negative)) or any(phrase not in subject for phrase in phrases)


def covered(text: list[str], source: list[str], run: int) -> float:
    """The share of the words of `text` that lie in a run of `run` words which is in `source` too.

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
