from pathlib import Path

import pyarrow as pa
import pytest

from syneg import schemas
from syneg.generate.estimate import estimate
from syneg.settings.generate import Budget, GenerateConfig, OpenaiEngine
from tests.memory import MemoryTable

ATTRIBUTES = str(Path(__file__).parents[3] / "configs" / "attributes" / "scifact.yaml")


def tables(pairs: int, words: int) -> tuple[MemoryTable, MemoryTable, MemoryTable]:
    ids = [f"{number}" for number in range(pairs)]
    passages = pa.table({"passage_id": ids, "title": [""] * pairs, "text": ["word " * words] * pairs})
    queries = pa.table({"query_id": ids, "text": ["a query"] * pairs, "split": ["train"] * pairs})
    qrels = pa.table({"query_id": ids, "passage_id": ids, "relevance": pa.array([1] * pairs, pa.int32())})
    return (
        MemoryTable(passages.cast(schemas.PASSAGES)),
        MemoryTable(queries.cast(schemas.QUERIES)),
        MemoryTable(qrels.cast(schemas.QRELS)),
    )


def settings(**more: object) -> GenerateConfig:
    engine = OpenaiEngine(kind="openai", model="m", base_url="http://x/v1")
    budget = Budget(input_price_per_million=1.0, output_price_per_million=2.0)
    return GenerateConfig.model_validate({"engine": engine, "attributes": ATTRIBUTES, "budget": budget} | more)


def test_requests_tokens_and_price_grow_with_what_is_asked() -> None:
    small = estimate(*tables(100, 100), settings())
    assert small.requests == 100
    assert small.counted_by == "4 characters a token"
    assert 100 * (500 / 4) < small.input_tokens < 100 * (500 / 4 + 700)
    assert small.output_tokens == pytest.approx(100 * (15 + (500 + 300) / 4), rel=0.05)
    assert small.price(settings()) == pytest.approx((small.input_tokens + 2 * small.output_tokens) / 1e6)
    twice = estimate(*tables(100, 100), settings(samples_per_pair=2))
    assert (twice.requests, twice.input_tokens) == (200, pytest.approx(2 * small.input_tokens, abs=1))
    assert estimate(*tables(100, 100), settings(reflection=False)).output_tokens < small.output_tokens
    assert estimate(*tables(100, 100), settings(max_pairs=10)).requests == 10


def test_no_answer_is_longer_than_allowed() -> None:
    long = estimate(*tables(10, 250), settings(max_tokens=64, negatives_per_answer=5))
    assert long.output_tokens == long.most_output_tokens == 640


def test_recorded_answers_cost_nothing() -> None:
    found = estimate(*tables(10, 50), settings(engine={"kind": "recorded", "path": "x"}))
    assert (found.requests, found.input_tokens, found.output_tokens) == (10, 0, 0)
