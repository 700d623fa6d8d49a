from itertools import pairwise

import pyarrow as pa
import pytest

from syneg import schemas
from syneg.generate.attributes import AttributeLists
from syneg.generate.requests import REQUEST, RequestMaker, requests, training_pairs
from syneg.generate.shown import Shown
from syneg.keyset import KeySet
from syneg.settings.generate import GenerateConfig, VllmEngine
from tests.memory import MemoryTable

LISTS = AttributeLists(("a", "b", "c"), ("d", "e"), ("f", "g"))
PAIR = {
    "query_id": "q",
    "query": "a query",
    "positive_id": "p",
    "positive": "one two three four",
    "example": "five six",
}


def asking(
    lists: AttributeLists | None = LISTS, model: str = "m", version: str = "v", **settings: object
) -> RequestMaker:
    return RequestMaker(GenerateConfig.model_validate(settings), lists, version, model)


def tables(count: int) -> tuple[pa.Table, pa.Table]:
    ids = [f"q{number}" for number in range(count)]
    splits = ["train" if number % 4 else "test" for number in range(count)]
    queries = pa.table({"query_id": ids, "text": [f"query {name}" for name in ids], "split": splits})
    relevance = pa.array([number % 3 for number in range(count)], pa.int32())
    return queries, pa.table({"query_id": ids, "passage_id": [f"p{name}" for name in ids], "relevance": relevance})


def chosen(queries: pa.Table, qrels: pa.Table, max_pairs: int | None, blank: frozenset[str] = frozenset()) -> set[str]:
    ids = qrels["passage_id"].to_pylist()
    texts = ["" if name in blank else f"text of {name}" for name in ids]
    passages = pa.table({"passage_id": ids, "title": [""] * len(ids), "text": texts})
    blocks = [passages.slice(0, 50), passages.slice(50)]
    return set(training_pairs(queries, qrels, lambda: blocks, max_pairs)["query_id"].to_pylist())


def test_pairs_are_the_relevant_ones_of_training_queries() -> None:
    queries, qrels = tables(24)
    passages = pa.table({"passage_id": qrels["passage_id"], "title": ["t"] * 24, "text": [""] * 24})
    pairs = training_pairs(queries, qrels, lambda: [passages], None).to_pylist()
    expected = {f"q{number}" for number in range(24) if number % 4 and number % 3}
    assert {pair["query_id"] for pair in pairs} == expected
    assert all(pair["query"] == f"query {pair['query_id']}" for pair in pairs)


def test_more_pairs_keep_the_fewer_whatever_the_order() -> None:
    queries, qrels = tables(200)
    sets = [chosen(queries, qrels, limit) for limit in (0, 5, 20, 60, None)]
    assert [len(ids) for ids in sets[:-1]] == [0, 5, 20, 60]
    assert all(fewer < more for fewer, more in pairwise(sets))
    assert chosen(queries, qrels.take(list(range(qrels.num_rows))[::-1]), 20) == sets[2]


def test_pairs_with_an_empty_positive_are_replaced() -> None:
    queries, qrels = tables(200)
    first = chosen(queries, qrels, 20)
    dropped = set(sorted(first)[:7])
    blank = frozenset(f"p{name}" for name in dropped)
    second = chosen(queries, qrels, 20, blank)
    assert len(second) == 20
    assert first & second == first - dropped
    assert chosen(queries, qrels, None, blank) == chosen(queries, qrels, None) - dropped
    assert chosen(queries, qrels, 10**6, blank) == chosen(queries, qrels, None) - dropped


def test_a_request_fits_its_schema_and_is_reproducible() -> None:
    rows = asking(samples_per_pair=3).requests(PAIR)
    assert rows == asking(samples_per_pair=5).requests(PAIR)[:3]
    assert len({row["negative_id"] for row in rows}) == len({row["seed"] for row in rows}) == 3
    assert pa.Table.from_pylist(rows, REQUEST).num_rows == 3
    (plain,) = asking(None).requests(PAIR)
    assert (plain["domain"], plain["difficulty"], plain["length"]) == ("", "", "")


@pytest.mark.parametrize(
    "changed",
    [
        asking(lists=None),
        asking(model="n"),
        asking(version="w"),
        asking(temperature=0.5),
        asking(max_tokens=3),
        asking(max_positive_words=2),
        asking(seed=1),
        asking(engine=VllmEngine(engine_kwargs={"dtype": "bfloat16"})),
    ],
)
def test_the_id_covers_what_makes_the_row(changed: RequestMaker) -> None:
    assert changed.requests(PAIR)[0]["negative_id"] != asking().requests(PAIR)[0]["negative_id"]


@pytest.mark.parametrize("name", sorted(PAIR))
def test_the_id_covers_the_pair(name: str) -> None:
    assert asking().requests(PAIR | {name: "other"})[0]["negative_id"] != asking().requests(PAIR)[0]["negative_id"]


def test_the_id_does_not_cover_how_many_are_asked_for() -> None:
    more = asking(max_pairs=5, samples_per_pair=2, max_error_rate=0.5)
    assert more.requests(PAIR)[0] == asking().requests(PAIR)[0]


def test_what_is_shared_stands_together() -> None:
    pairs = [PAIR | {"query_id": f"q{number}"} for number in range(40)]

    def order(layout: str) -> list[dict]:
        made = asking(layout=layout)
        return sorted((row for pair in pairs for row in made.requests(pair)), key=made.shared)

    drawn = [(row["domain"], row["difficulty"], row["length"]) for row in order("prefix_first")]
    assert drawn == sorted(drawn)
    assert [row["domain"] for row in order("published")] == sorted(row["domain"] for row in order("published"))


def test_limits_an_address_and_a_cap_that_stops_are_no_part_of_the_id() -> None:
    base = {"kind": "openai", "model": "m", "base_url": "http://x/v1"}
    moved = {"base_url": "http://y:8001/v1", "api_key_env": "OTHER_KEY"}
    for same in ({"limits": {"max_in_flight": 9}}, moved):
        quick = asking(engine=base | same, budget={"tokens": 5})
        assert quick.requests(PAIR)[0] == asking(engine=base).requests(PAIR)[0]
    other = asking(engine=base | {"extra_body": {"reasoning_effort": "low"}})
    assert other.requests(PAIR)[0]["negative_id"] != asking(engine=base).requests(PAIR)[0]["negative_id"]


def candidates(*rows: tuple[str, str, str, int, str | None]) -> MemoryTable:
    """(query_id, passage_id, sampler, rank, reject_reason)."""
    names = ("query_id", "passage_id", "sampler", "rank", "reject_reason")
    made = [dict.fromkeys(schemas.CANDIDATES.names) | dict(zip(names, row, strict=True)) for row in rows]
    return MemoryTable(pa.Table.from_pylist(made, schemas.CANDIDATES))


def test_the_example_is_the_best_candidate_that_mining_kept() -> None:
    ids = [f"p{number}" for number in range(6)]
    passages = {"passage_id": ids, "title": ["title"] * 6, "text": [f"text {name} and so on" for name in ids]}
    mined = candidates(
        ("q0", "p0", "bm25", 0, "positive"),
        ("q0", "p4", "bm25", 7, None),
        ("q0", "p3", "dense", 6, None),
        ("q0", "p5", "bm25", 6, "above_margin"),
        ("q1", "p3", "bm25", 0, "outside_window"),
        ("q9", "p5", "bm25", 0, None),
    )
    pairs = pa.table({"query_id": ["q0", "q1"], "query": ["zero", "one"], "positive_id": ["p0", "p1"]})
    table = MemoryTable(pa.table(passages))
    made = asking(max_positive_words=3, samples_per_pair=2, style_example=True)
    (_, block) = requests(pairs, Shown(table, mined), made, KeySet())
    assert {(row["query_id"], row["example"]) for row in block.to_pylist()} == {("q0", "title text p3"), ("q1", "")}
    # A row without an example is the one that it would be without the setting; one with an example is another.
    (_, plain) = requests(pairs, Shown(table), made, KeySet())
    same = set(block["negative_id"].to_pylist()) & set(plain["negative_id"].to_pylist())
    assert {row["query_id"] for row in block.to_pylist() if row["negative_id"] in same} == {"q1"}
