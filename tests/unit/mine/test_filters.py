"""Each filter against the sentence that defines it, and all of them against a slow loop."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syneg.mine.filters import Judged, Ranked, above_margin, reject_reasons
from syneg.mine.passages import EMPTY, passage_key, simhash
from syneg.settings.mine import SamplerConfig

NO_MARGIN = SamplerConfig(window_end=1000)


def ranked(rows: Sequence[tuple[int, int, int, float, float]]) -> Ranked:
    query, passage, rank, score, anchor = zip(*rows, strict=True) if rows else ([], [], [], [], [])
    return Ranked(
        np.array(query, np.int64),
        np.array(passage, np.int64),
        np.array(rank, np.int32),
        np.array(score, np.float32),
        np.array(anchor, np.float32),
    )


def judged(
    texts: list[str], pairs: list[tuple[int, int]], asked: Sequence[str] = ("?",) * 3, own: Sequence[int] = (-1,) * 3
) -> Judged:
    """`asked`: the queries' texts; `own`: the passages with their ids."""
    keys, hashes = ([make(text) for text in texts] for make in (lambda text: passage_key("", text), simhash))
    return Judged(
        np.array(keys, np.uint64),
        np.array(hashes, np.uint64),
        np.array(pairs, np.int64).reshape(-1, 2),
        np.array(own, np.int64),
        np.array([passage_key("", text) for text in asked], np.uint64),
    )


def test_reasons_in_their_order() -> None:
    known = judged(["gold", "GOLD ", "", "other", "Other", "far"], [(0, 0), (1, 3)])
    rows = [(0, 0, 0, 1, 1), (0, 1, 1, 1, 1), (0, 2, 2, 1, 1), (0, 3, 3, 1, 1), (0, 4, 4, 1, 1), (0, 5, 5, 1, 1)]
    sampler = SamplerConfig(window_start=0, window_end=5)
    assert reject_reasons(ranked(rows), known, sampler).tolist() == [
        "positive",
        "same_text_as_positive",
        "empty_passage",
        None,
        "same_text_as_other",
        "outside_window",
    ]


def test_another_query_s_positive_may_be_a_negative() -> None:
    known = judged(["gold of 0", "gold of 1"], [(0, 0), (1, 1)])
    assert reject_reasons(ranked([(0, 1, 0, 1, 1), (1, 1, 0, 1, 1)]), known, NO_MARGIN).tolist() == [None, "positive"]


def test_a_query_is_no_negative_of_itself() -> None:
    known = judged(["asked", "gold", "Asked ", "other"], [(0, 1)], asked=["asked", "?"], own=[3, 0])
    rows = [(query, passage, passage, 1, 1) for query in (0, 1) for passage in range(4)]
    reasons = reject_reasons(ranked(rows), known, NO_MARGIN).tolist()
    assert reasons[:4] == ["query_itself", "positive", "query_itself", "query_itself"]  # text, -, text, id
    assert reasons[4:] == ["query_itself", None, "same_text_as_other", None]  # id


@pytest.mark.parametrize(
    ("score", "anchor", "too_close"),
    [(0.94, 1.0, False), (0.96, 1.0, True), (-1.06, -1.0, False), (-1.04, -1.0, True), (0.5, math.nan, False)],
)
def test_relative_margin_is_right_for_negative_scores(score: float, anchor: float, too_close: bool) -> None:
    sampler = SamplerConfig(relative_margin=0.05)
    assert above_margin(np.array([score]), np.array([anchor]), sampler).tolist() == [too_close]


def test_absolute_margin() -> None:
    sampler = SamplerConfig(absolute_margin=0.1)
    assert above_margin(np.array([0.89, 0.91]), np.array([1.0, 1.0]), sampler).tolist() == [False, True]


def test_a_detail_changed_in_a_long_positive_is_noticed() -> None:
    gold = " ".join(f"word{number}" for number in range(200))
    texts = [gold, gold.replace("word7 ", "other "), gold.replace("word", "thing"), "word1 word2 word3"]
    rows = [(0, 1, 0, 1, 1), (0, 2, 1, 1, 1), (0, 3, 2, 1, 1)]
    known = judged(texts, [(0, 0)])
    reasons = reject_reasons(ranked(rows), known, NO_MARGIN, near_duplicate_bits=3).tolist()
    assert reasons == ["near_duplicate_of_positive", None, None]
    assert reject_reasons(ranked(rows), known, NO_MARGIN, near_duplicate_bits=None).tolist() == [None] * 3


def test_long_texts_are_alike_by_their_rare_words_alone() -> None:
    """Two texts of 10,000 words, a third of them the same few; and one without spaces, with a character changed."""
    draw = np.random.default_rng(0)
    frequent = [f"the{number}" for number in range(20)]

    def text(topic: str) -> str:
        rare = [f"{topic}{number}" for number in draw.integers(0, 1_500, 6_500)]
        return " ".join(draw.permutation([*rare, *draw.choice(frequent, 3_500)]))

    one, other = text("red"), text("blue")
    chinese = "".join(map(chr, draw.choice(np.arange(0x4E00, 0x9FFF), 300, replace=False)))

    def differ(left: str, right: str) -> int:
        return (simhash(left) ^ simhash(right)).bit_count()

    assert differ(one, other) > 12
    assert differ(one, f"{one} more") <= 6
    assert differ(chinese, f"{chinese[:-1]}。") <= 6


def test_what_scores_too_little_is_too_easy() -> None:
    known = judged(["a", "b", "c"], [])
    rows = [(0, 0, 0, 0.5, 1), (0, 1, 1, 0.2, 1), (0, 2, 2, math.nan, math.nan)]
    sampler = SamplerConfig(min_score=0.3)
    assert reject_reasons(ranked(rows), known, sampler).tolist() == [None, "below_min_score", None]


def test_a_key_looks_at_the_text_before_the_title() -> None:
    assert passage_key("A", "Same  TEXT") == passage_key("B", "same text")
    assert passage_key("only a title", "") == passage_key("", "Only a title")
    assert passage_key("", " \n") == EMPTY != passage_key("", "x")


TEXTS = st.lists(st.sampled_from(["", "a", "A", "b", "c", "d "]), min_size=1, max_size=8)


@settings(deadline=None)  # the first call fills the cache of words
@given(TEXTS, st.lists(st.tuples(st.integers(0, 2), st.integers(0, 7)), max_size=6), st.randoms())
def test_equals_the_slow_loop(texts: list[str], pairs: list[tuple[int, int]], random) -> None:
    pairs = [(query, passage % len(texts)) for query, passage in pairs]
    rows = []
    for query in range(3):
        order = random.sample(range(len(texts)), len(texts))
        rows += [(query, passage, rank, 1 - rank / 10, 0.8) for rank, passage in enumerate(order)]
    sampler = SamplerConfig(window_start=1, window_end=6, relative_margin=0.1)
    own = [random.randrange(-1, len(texts)) for _ in range(3)]
    known = judged(texts, pairs, asked=["D"] * 3, own=own)
    expected, seen = [], set()
    for query, passage, rank, score, anchor in rows:
        key = texts[passage].strip().casefold()
        positives = [texts[other].strip().casefold() for owner, other in pairs if owner == query]
        if (query, passage) in pairs:
            reason = "positive"
        elif key in positives:
            reason = "same_text_as_positive"
        elif passage == own[query] or key == "d":
            reason = "query_itself"
        elif not key:
            reason = "empty_passage"
        elif (query, key) in seen:
            reason = "same_text_as_other"
        elif not 1 <= rank < 6:
            reason = "outside_window"
        elif np.float32(score) > np.float32(anchor) - np.float32(anchor) * 0.1:
            reason = "above_margin"
        else:
            reason = None
        seen.add((query, key))
        expected.append(reason)
    assert reject_reasons(ranked(rows), known, sampler).tolist() == expected
