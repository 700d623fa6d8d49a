"""The device's side of the dense search, on torch's CPU: the same pairs as NumPy's."""

from functools import partial

import numpy as np
import pytest

from syneg.search import cuda, dense

K = 10


def unit(random: np.random.Generator, rows: int) -> np.ndarray:
    values = random.standard_normal((rows, 16)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.mark.parametrize("passages", [4, 300])
@pytest.mark.parametrize("known", [False, True])
def test_finds_what_may_be_among_the_best(passages: int, known: bool) -> None:
    random = np.random.default_rng(0)
    queries_QD, passages_PD = unit(random, 20), unit(random, passages)
    products = queries_QD @ passages_PD.T
    least_Q = np.full(20, 0.1 if known else -np.inf, np.float32)
    rounding_Q = np.full(20, 1e-6, np.float32)
    for look in (
        cuda.Passages(passages_PD, "cpu").reaching,
        partial(dense._reaching, passages_PD, np.empty(products.size, np.float32)),
    ):
        query_N, row_N = look(queries_QD, K, least_Q, rounding_Q)
        assert (np.diff(query_N * passages + row_N) > 0).all()
        found = np.zeros(products.shape, bool)
        found[query_N, row_N] = True
        kth = np.sort(products, axis=1)[:, -min(K, passages)]
        needed = (products >= kth[:, None]) & (products >= least_Q[:, None])
        assert found[needed].all()
        assert found.sum() <= products.size if passages < K else found.sum() < 0.5 * products.size


def test_the_whole_search_through_torch_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.unit.search.test_dense import blocks, embedded

    random = np.random.default_rng(1)
    queries, passages = embedded("q", unit(random, 9)), embedded("p", unit(random, 200))
    expected = dense.top_k(queries, blocks(passages, 3), K)
    monkeypatch.setattr(dense, "_looking_at", lambda block, room: cuda.Passages(block, "cpu").reaching)
    assert dense.top_k(queries, blocks(passages, 3), K).equals(expected)
