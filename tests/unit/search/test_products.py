"""Products that round find what may be among the best, and the search through any of them is the same."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from syneg.search import dense, products, tiles
from syneg.search.bounds import Pairs, Products
from syneg.search.cpu import Float32, Int8
from syneg.search.cuda import Bfloat16
from syneg.vectors import unpack
from tests.unit.search.test_dense import blocks, embedded

K = 10
KINDS: list[Callable[[np.ndarray], Products]] = [Float32, Int8, partial(Bfloat16, device="cpu")]
kinds = pytest.mark.parametrize("kind", KINDS, ids=["float32", "int8", "bfloat16"])


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "TILE_ROWS", 1_024)


def vectors(random: np.random.Generator, rows: int, mean: float | np.ndarray = 0) -> np.ndarray:
    values = random.standard_normal((rows, 16)) + mean
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)


@kinds
@pytest.mark.parametrize("passages", [4, 3_000])
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("sure", [False, True])
def test_finds_what_may_be_among_the_best(
    kind: Callable[[np.ndarray], Products], passages: int, known: bool, sure: bool
) -> None:
    random = np.random.default_rng(0)
    queries_QD, passages_PD = vectors(random, 20).astype(np.float32), vectors(random, passages)
    true = queries_QD.astype(np.float64) @ passages_PD.T.astype(np.float64)
    least_Q = np.full(20, 0.1 if known else -np.inf, np.float32)
    query_N, row_N, floor_Q = kind(passages_PD).reaching(queries_QD, K, least_Q, sure)
    assert (np.diff(query_N) >= 0).all()
    assert len(set(zip(query_N, row_N, strict=True))) == len(query_N)
    found = np.zeros(true.shape, bool)
    found[query_N, row_N] = True
    kth = np.sort(true, axis=1)[:, -min(K, passages)]
    needed = (true >= kth[:, None]) & (true >= least_Q[:, None])
    assert found[needed].all()  # by a guess as well: it is good enough here
    assert found[true >= floor_Q[:, None]].all()
    assert (floor_Q >= least_Q).all()
    # Few pass in vain: the bound is the k-th best or the least, whichever is known, and a little below.
    assert found.sum() < 3 * (true >= np.where(known, least_Q, kth)[:, None]).sum()


@kinds
@pytest.mark.parametrize("away", [-3.0, 0.0, 3.0])
def test_scores_of_either_sign(kind: Callable[[np.ndarray], Products], away: float) -> None:
    random = np.random.default_rng(1)
    queries_QD, passages_PD = vectors(random, 8, 3.0).astype(np.float32), vectors(random, 500, away)
    passages_PD[7] = 0
    true = queries_QD.astype(np.float64) @ passages_PD.T.astype(np.float64)
    for least in (-0.9, -0.05, 0.0, 0.05, 0.9):
        query_N, row_N, _ = kind(passages_PD).reaching(queries_QD, K, np.full(8, least, np.float32), True)
        found = np.zeros(true.shape, bool)
        found[query_N, row_N] = True
        assert found[true >= least].all()
        assert not found[true < least - 0.02].any()
    query_N, row_N, _ = kind(passages_PD).reaching(queries_QD, K, np.full(8, -np.inf, np.float32), True)
    found = np.zeros(true.shape, bool)
    found[query_N, row_N] = True
    kth = np.sort(true, axis=1)[:, -K, None]
    assert found[true >= kth].all()
    assert not found[true < kth - 0.15].any()


@kinds
@pytest.mark.parametrize("scale", [1, 40])
@pytest.mark.parametrize("count", [1, 3])
def test_the_search_is_the_same(
    monkeypatch: pytest.MonkeyPatch, kind: Callable[[np.ndarray], Products], scale: float, count: int
) -> None:
    """Among passages of which many are nearly alike, and whether or not vectors are of length one."""
    random = np.random.default_rng(2)
    near = np.repeat(vectors(random, 40), 10, axis=0) + random.standard_normal((400, 16)) / 500
    queries, passages = embedded("q", scale * vectors(random, 9)), embedded("p", scale * near)
    true = unpack(queries["vector"]).astype(np.float64) @ unpack(passages["vector"]).T.astype(float)
    monkeypatch.setattr(dense, "products", lambda block, queries: kind(block))
    found = dense.top_k(queries, blocks(passages, count), K)
    assert found["score"].to_numpy().reshape(9, K) == pytest.approx(-np.sort(-true, axis=1)[:, :K], rel=1e-5)
    monkeypatch.undo()
    assert found.equals(dense.top_k(queries, [passages], K))


@pytest.mark.parametrize("kind", [Float32, Int8])
def test_a_guess_that_is_too_high_is_made_good(monkeypatch: pytest.MonkeyPatch, kind: type[Float32 | Int8]) -> None:
    random, k = np.random.default_rng(4), 100
    passages_PD, queries_QD = vectors(random, 8_000), vectors(random, 5)
    monkeypatch.setattr(tiles, "_nth", lambda k, share: 1)  # as if the best of all tiles were in the first
    asked: list[tuple[int, bool]] = []
    reaching = kind.reaching

    def counted(self: Any, queries_BD: np.ndarray, k: int, least_B: np.ndarray, sure: bool) -> Pairs:
        asked.append((len(queries_BD), sure))
        return reaching(self, queries_BD, k, least_B, sure)

    monkeypatch.setattr(kind, "reaching", counted)
    monkeypatch.setattr(dense, "products", lambda block, queries: kind(block))
    found = dense.search(queries_QD, [embedded("p", passages_PD)], k)
    scores_QP = dense.of_pairs(queries_QD[:, None], passages_PD)
    assert (np.sort(found.scores) == np.sort(scores_QP)[:, -k:]).all()
    assert sum(queries for queries, sure in asked if not sure) == 5
    assert sum(queries for queries, sure in asked if sure) == 5


@pytest.mark.parametrize("kind", [Float32, Int8])
def test_passages_that_stand_together_are_dealt_to_all_tiles(kind: type[Float32 | Int8]) -> None:
    """Copies of a few passages, one after the other: were a tile of one kind, its best would tell nothing of others."""
    random, k = np.random.default_rng(5), 100
    passages_PD = np.repeat(vectors(random, 32), 256, axis=0)
    passages_PD += (random.standard_normal(passages_PD.shape) / 50).astype(np.float16)
    queries_QD = vectors(random, 40).astype(np.float32)
    floor_Q = kind(passages_PD).reaching(queries_QD, k, np.full(40, -np.inf, np.float32), False).floor_B
    assert (np.sort(dense.of_pairs(queries_QD[:, None], passages_PD))[:, -k] >= floor_Q).all()


def test_passages_in_one_corner_are_told_apart_by_their_bytes() -> None:
    """As of models that give all texts a large common part: the steps need not reach as far as it."""
    random = np.random.default_rng(3)
    passages_PD = vectors(random, 3_000, 20 * np.eye(16)[5])
    queries_QD = vectors(random, 20).astype(np.float32)
    query_N, _, _ = Int8(passages_PD).reaching(queries_QD, K, np.full(20, -np.inf, np.float32), True)
    assert len(query_N) < 3 * 20 * K  # 7.8 times, did they count from zero


@kinds
def test_vectors_of_zeros_are_found_by_their_ids(kind: Callable[[np.ndarray], Products]) -> None:
    nothing_PD = np.zeros((50, 16), np.float16)
    for queries_QD in (np.zeros((2, 16), np.float32), np.ones((2, 16), np.float32)):
        query_N, row_N, _ = kind(nothing_PD).reaching(queries_QD, K, np.full(2, -np.inf, np.float32), True)
        assert (len(query_N), set(row_N)) == (100, set(range(50)))


@pytest.mark.parametrize(
    ("fast", "queries", "kind"), [(True, 10, Float32), (True, 10**6, Int8), (False, 10**6, Float32)]
)
def test_bytes_are_for_much_work_where_they_are_fast(
    monkeypatch: pytest.MonkeyPatch, fast: bool, queries: int, kind: type
) -> None:
    monkeypatch.setattr(products, "on_cuda", lambda: False)
    monkeypatch.setattr(products, "_multiplies_int8", lambda: fast)
    assert isinstance(products.products(np.ones((100, 8), np.float16), queries), kind)
