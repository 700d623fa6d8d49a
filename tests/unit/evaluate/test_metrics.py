"""Measures against slow definitions written out by hand."""

import math
import random

import pyarrow as pa
import pytest

from syneg import schemas
from syneg.errors import BadInput
from syneg.evaluate import metrics

NAMES = ("nDCG@3", "nDCG@10", "MRR@10", "MRR@2", "Recall@5", "Recall@100", "MAP")


def ndcg(ranked: list[str], judged: dict[str, int], k: int) -> float:
    gains = [judged.get(passage, 0) / math.log2(place + 2) for place, passage in enumerate(ranked[:k])]
    ideal = [gain / math.log2(place + 2) for place, gain in enumerate(sorted(judged.values(), reverse=True)[:k])]
    return sum(gains) / sum(ideal)


def reciprocal_rank(ranked: list[str], judged: dict[str, int], k: int) -> float:
    return next((1 / (place + 1) for place, passage in enumerate(ranked[:k]) if judged.get(passage, 0) > 0), 0.0)


def recall(ranked: list[str], judged: dict[str, int], k: int) -> float:
    relevant = {passage for passage, gain in judged.items() if gain > 0}
    return len(relevant & set(ranked[:k])) / len(relevant)


def average_precision(ranked: list[str], judged: dict[str, int]) -> float:
    relevant = {passage for passage, gain in judged.items() if gain > 0}
    hits = [place for place, passage in enumerate(ranked) if passage in relevant]
    return sum((found + 1) / (place + 1) for found, place in enumerate(hits)) / len(relevant)


def by_hand(name: str, ranked: list[str], judged: dict[str, int]) -> float:
    family, _, cutoff = name.partition("@")
    if family == "MAP":
        return average_precision(ranked, judged)
    return {"nDCG": ndcg, "MRR": reciprocal_rank, "Recall": recall}[family](ranked, judged, int(cutoff))


def ranking(ranked: dict[str, list[str]], scores: float | None = None) -> pa.Table:
    rows = [
        {"query_id": query, "passage_id": passage, "rank": rank, "score": -rank if scores is None else scores}
        for query, passages in ranked.items()
        for rank, passage in enumerate(passages)
    ]
    return pa.Table.from_pylist(rows, schema=schemas.RANKING)


def qrels(judged: dict[str, dict[str, int]]) -> pa.Table:
    rows = [
        {"query_id": query, "passage_id": passage, "relevance": gain}
        for query, passages in judged.items()
        for passage, gain in passages.items()
    ]
    return pa.Table.from_pylist(rows, schema=schemas.QRELS)


def values(table: pa.Table) -> dict[tuple[str, str], float]:
    return {(row["measure"], row["query_id"]): row["value"] for row in table.to_pylist()}


@pytest.mark.parametrize("tied", [None, 0.5])
def test_equal_to_the_definitions(tied: float | None) -> None:
    draw = random.Random(7)
    corpus = [f"p{number}" for number in range(150)]
    judged = {
        f"q{number}": {passage: draw.choice([0, 1, 1, 2, 3]) for passage in draw.sample(corpus, 6)} | {"p0": 1}
        for number in range(40)
    }
    ranked = {query: draw.sample(corpus, draw.choice([1, 8, 120])) for query in judged}
    found = values(metrics.per_query(ranking(ranked, scores=tied), qrels(judged), NAMES))
    assert len(found) == len(NAMES) * 40
    for (name, query), value in found.items():
        assert value == pytest.approx(by_hand(name, ranked[query], judged[query]), abs=1e-9), (name, query)


def test_order_of_the_rows_does_not_matter() -> None:
    table = ranking({"q1": ["a", "b", "c"], "q2": ["c", "a"]})
    judged = qrels({"q1": {"b": 1}, "q2": {"a": 1}})
    backwards = table.take(list(reversed(range(table.num_rows))))
    assert metrics.per_query(table, judged, NAMES).equals(metrics.per_query(backwards, judged, NAMES))


def test_unanswered_query_scores_zero() -> None:
    found = values(
        metrics.per_query(ranking({"q1": ["a"]}), qrels({"q1": {"a": 1}, "q2": {"a": 1}}), ("nDCG@10", "MAP"))
    )
    assert found == {("nDCG@10", "q1"): 1, ("nDCG@10", "q2"): 0, ("MAP", "q1"): 1, ("MAP", "q2"): 0}


def test_no_ranking_at_all_scores_zero() -> None:
    found = values(metrics.per_query(schemas.RANKING.empty_table(), qrels({"q": {"a": 1}}), ("MRR@10", "Recall@5")))
    assert found == {("MRR@10", "q"): 0, ("Recall@5", "q"): 0}


def test_queries_without_a_relevant_passage_are_not_scored() -> None:
    table = ranking({"q1": ["a"], "q2": ["a"], "q3": ["a"]})
    found = values(metrics.per_query(table, qrels({"q1": {"a": 1}, "q2": {"a": 0}}), ("MAP", "MRR@1")))
    assert found == {("MAP", "q1"): 1, ("MRR@1", "q1"): 1}
    assert metrics.per_query(table, qrels({"q2": {"a": 0}}), ("MAP",)).num_rows == 0


@pytest.mark.parametrize("name", ["nDCG", "ndcg@10", "MRR@0", "Recall@", "MAP@10", "P@5", ""])
def test_unknown_measure_names_the_allowed_forms(name: str) -> None:
    with pytest.raises(BadInput, match=r"nDCG@k, MRR@k, Recall@k .* or MAP"):
        metrics.parse(name)
