"""BM25 against the formula written out, and against the published value on SciFact."""

import math
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import pyarrow as pa
import pytest
import Stemmer
from hypothesis import given
from hypothesis import strategies as st

from syneg.schemas import PASSAGES
from syneg.search.bm25 import Bm25Index, reaching
from syneg.settings.mine import Bm25Config

TEXTS = [
    "red fox jumps",
    "lazy dog sleeps sleeps sleeps",
    "red dog",
    "green tree grows slowly beside red brick house",
    "blue sky",
]
PLAIN = Bm25Config(stopwords="none", stemmer="none")


def passages(texts: list[str]) -> pa.Table:
    ids = [f"p{row}" for row in range(len(texts))]
    return pa.table([ids, [""] * len(texts), texts], schema=PASSAGES)


def lucene_bm25(query: list[str], document: list[str], documents: list[list[str]], k1: float, b: float) -> float:
    """One score by the formula: idf = ln(1 + (N - n + 0.5) / (n + 0.5)), tf / (tf + k1 (1 - b + b |d| / avgdl))."""
    mean = sum(map(len, documents)) / len(documents)
    total = 0.0
    for term in query:
        holding = sum(term in other for other in documents)
        frequency = document.count(term)
        idf = math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
        total += idf * frequency / (frequency + k1 * (1 - b + b * len(document) / mean))
    return total


def test_equals_the_formula() -> None:
    documents = [text.split() for text in TEXTS]
    query = ["red", "dog", "sleeps"]
    found = Bm25Index.build([passages(TEXTS)], PLAIN).top_k(["q"], [" ".join(query)], 5)
    expected = {f"p{row}": lucene_bm25(query, document, documents, 0.9, 0.4) for row, document in enumerate(documents)}
    assert dict(zip(found["passage_id"].to_pylist(), found["score"].to_pylist(), strict=True)) == pytest.approx(
        {passage: score for passage, score in expected.items() if score > 0}, rel=1e-5
    )
    assert found["score"].to_pylist() == sorted(found["score"].to_pylist(), reverse=True)


def test_statistics_are_the_corpus_s_not_a_block_s() -> None:
    whole = passages(TEXTS)
    blocks = [whole.slice(0, 2), whole.slice(2, 3)]
    one, two = (Bm25Index.build(layout, PLAIN).top_k(["q"], ["red dog"], 5) for layout in ([whole], blocks))
    assert one.equals(two)


def test_a_query_without_known_terms_finds_nothing() -> None:
    assert Bm25Index.build([passages(TEXTS)], PLAIN).top_k(["q", "r"], ["zebra", "red"], 2)["query_id"].to_pylist() == [
        "r",
        "r",
    ]


def test_ties_are_broken_by_id(tmp_path: Path) -> None:
    found = Bm25Index.build([passages(["same words"] * 6 + ["other"])], PLAIN).top_k(["q"], ["same"], 3)
    assert found["passage_id"].to_pylist() == ["p0", "p1", "p2"]


@pytest.mark.parametrize("settings", [Bm25Config(), PLAIN, Bm25Config(k1=1.7, b=0.9)])
def test_the_index_equals_bm25s_own(settings: Bm25Config) -> None:
    random = np.random.default_rng(0)
    words = ["running", "the", "foxes", "fox", "sea", "and"]
    texts = [" ".join(random.choice(words, length)) for length in range(1, 40)]
    stemmer = Stemmer.Stemmer(settings.stemmer) if settings.stemmer != "none" else None
    stopwords = settings.stopwords if settings.stopwords != "none" else []
    cut: dict[str, Any] = {"stopwords": stopwords, "stemmer": stemmer, "show_progress": False}
    peer = bm25s.BM25(k1=settings.k1, b=settings.b, method="lucene")
    peer.index(bm25s.tokenize(texts, **cut), show_progress=False)
    table = passages(texts)
    ours = Bm25Index.build([table.slice(start, 7) for start in range(0, 39, 7)], settings)
    words = list(bm25s.tokenize(["foxes run"], **cut).vocab)  # type: ignore[union-attr]
    known = [word for word in words if word in peer.vocab_dict]
    found = ours.top_k(["q"], ["foxes run"], 39)
    expected = {f"p{row}": score for row, score in enumerate(peer.get_scores(known)) if score > 0}
    assert dict(zip(found["passage_id"].to_pylist(), found["score"].to_pylist(), strict=True)) == pytest.approx(
        expected, rel=1e-5
    )
    rows = np.arange(39)
    assert ours.scores(["foxes run"] * 39, rows).tolist() == pytest.approx(peer.get_scores(known).tolist(), rel=1e-5)


def test_many_ties_are_broken_by_id() -> None:
    texts = ["same words"] * 60 + ["same words same words"] + ["other"] * 60
    table = passages(texts)
    shuffled = table.take(pa.array(np.random.default_rng(1).permutation(len(texts))))
    found = Bm25Index.build([shuffled], PLAIN).top_k(["q"], ["same"], 4)["passage_id"].to_pylist()
    assert found == Bm25Index.build([table], PLAIN).top_k(["q"], ["same"], 4)["passage_id"].to_pylist()
    assert found == ["p60", "p0", "p1", "p10"]


@given(st.lists(st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.0]), min_size=1, max_size=700), st.integers(1, 20))
def test_none_of_the_best_is_missed(scores: list[float], k: int) -> None:
    scores_P = np.array(scores, np.float32)
    found = reaching(scores_P, k)
    kth = max(np.sort(scores_P)[-min(k, len(scores))], 1e-9)
    assert set(np.flatnonzero(scores_P >= kth)) <= set(found)
    assert (scores_P[found] > 0).all()


def test_few_passages_are_looked_at_closely() -> None:
    scores_P = np.random.default_rng(0).random(1_000_000, np.float32)
    assert 50 <= len(reaching(scores_P, 50)) < 100


@pytest.mark.parametrize(
    ("query", "texts"),
    [
        ("中国的首都", ["北京是中国的首都。", "猫在睡觉。", "长城很长。"]),
        ("भारत की भाषा", ["हिन्दी भारत की भाषा है", "बिल्ली सो रही है", "दीवार लंबी है"]),
        ("เมืองหลวงของไทย", ["กรุงเทพเป็นเมืองหลวงของประเทศไทย", "แมวกำลังนอน", "กำแพงยาว"]),
        ("столица России", ["Москва — столица России", "Кошка спит", "Стена длинная"]),
    ],
)
def test_any_script_is_searched(query: str, texts: list[str]) -> None:
    found = Bm25Index.build([passages(texts)], Bm25Config()).top_k(["q"], [query], 1)
    assert found["passage_id"].to_pylist() == ["p0"]
