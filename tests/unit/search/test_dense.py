"""Dense search against a brute-force product, on any layout of blocks."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from syneg.schemas import vectors
from syneg.search import dense
from syneg.search.dense import in_blocks, merged, search, top_k
from syneg.vectors import unpack


def embedded(prefix: str, values: np.ndarray) -> pa.Table:
    rows = values.astype(np.float16)
    ids = pa.array([f"{prefix}{row:04d}" for row in range(len(rows))])
    packed = pa.array([row.tobytes() for row in rows], pa.binary(2 * rows.shape[1]))
    return pa.table([ids, packed], schema=vectors(rows.shape[1]))


def blocks(table: pa.Table, count: int) -> list[pa.Table]:
    edges = np.linspace(0, table.num_rows, count + 1).astype(int)
    return [table.slice(start, end - start) for start, end in pairwise(edges)]


@pytest.fixture
def corpus() -> tuple[pa.Table, pa.Table]:
    random = np.random.default_rng(0)
    return embedded("q", random.standard_normal((9, 16))), embedded("p", random.standard_normal((200, 16)))


def test_equals_brute_force(corpus: tuple[pa.Table, pa.Table]) -> None:
    queries, passages = corpus
    products = unpack(queries["vector"]).astype(np.float32) @ unpack(passages["vector"]).astype(np.float32).T
    expected = [
        [f"p{passage:04d}" for passage in sorted(range(200), key=lambda row: (-scores[row], row))[:10]]
        for scores in products
    ]
    found = top_k(queries, [passages], 10)
    assert found["query_id"].to_pylist() == [f"q{query:04d}" for query in range(9) for _ in range(10)]
    assert found["rank"].to_pylist() == list(range(10)) * 9
    assert found["passage_id"].to_pylist() == [passage for row in expected for passage in row]


@pytest.mark.parametrize("count", [2, 7, 200])
def test_any_layout_of_blocks_gives_the_same_answer(corpus: tuple[pa.Table, pa.Table], count: int) -> None:
    queries, passages = corpus
    assert top_k(queries, blocks(passages, count), 10).equals(top_k(queries, [passages], 10))


@pytest.mark.parametrize("rows", [7, 50])
def test_blocks_that_are_searched_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch, corpus: tuple[pa.Table, pa.Table], rows: int
) -> None:
    """The best come first, so that of the later blocks no passage is good enough."""
    queries, passages = corpus
    best_first = np.argsort(-unpack(passages["vector"]).astype(np.float32) @ unpack(queries["vector"])[0])
    one_at_a_time, expected = passages.take(pa.array(best_first)), top_k(queries, [passages], 10)
    monkeypatch.setattr(dense, "block_rows", lambda width: rows)
    for some in (queries, queries.slice(0, 1)):
        assert top_k(some, [one_at_a_time], 10).equals(expected.slice(0, 10 * some.num_rows))


def test_ties_are_broken_by_id() -> None:
    same = embedded("p", np.ones((10, 4)))
    reversed_ids = same.take(pa.array(range(9, -1, -1)))
    query = embedded("q", np.ones((1, 4)))
    assert top_k(query, blocks(reversed_ids, 3), 4)["passage_id"].to_pylist() == ["p0000", "p0001", "p0002", "p0003"]


def test_fewer_passages_than_k(corpus: tuple[pa.Table, pa.Table]) -> None:
    queries, passages = corpus
    assert top_k(queries, [passages.slice(0, 3)], 10).num_rows == 9 * 3


def test_more_ties_than_the_slack_are_broken_by_id() -> None:
    """Forty passages stand level around rank k, spread over blocks in any order."""
    values = np.ones((50, 24)) / 5
    values[:10] *= 2
    same = embedded("p", values)
    query = embedded("q", np.random.default_rng(0).random((3, 24)))
    for seed, count in ((1, 1), (2, 3), (3, 50)):
        shuffled = same.take(pa.array(np.random.default_rng(seed).permutation(50)))
        found = top_k(query, blocks(shuffled, count), 15)
        assert found["passage_id"].to_pylist() == [f"p{row:04d}" for row in range(15)] * 3


def test_shares_of_the_corpus_are_joined_to_the_same_answer(corpus: tuple[pa.Table, pa.Table]) -> None:
    queries, passages = corpus
    shares = [search(unpack(queries["vector"]), blocks(share, 3), 10) for share in blocks(passages, 3)]
    assert merged(shares, 10).ranking(queries["id"], 10).equals(top_k(queries, [passages], 10))


def test_rows_are_cut_into_blocks_anew(corpus: tuple[pa.Table, pa.Table]) -> None:
    _, passages = corpus
    cut = list(in_blocks(blocks(passages, 9), 64))
    assert [block.num_rows for block in cut] == [64, 64, 64, 8]
    assert pa.concat_tables(cut).equals(passages)
