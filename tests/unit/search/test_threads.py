"""Slices of a search in threads: the same outcome, each thread computing by itself, limits as before afterwards."""

import threading

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from syneg.search import dense, threads
from syneg.search.threads import allowed, in_threads
from tests.unit.search.test_dense import blocks, embedded


@pytest.mark.parametrize("count", [1, 3])
def test_every_argument_once(count: int) -> None:
    seen: list[int] = []
    in_threads(seen.append, range(20), count)
    assert sorted(seen) == list(range(20))


def test_each_computes_by_itself_and_the_limits_come_back() -> None:
    def limits() -> list[int]:
        return [library["num_threads"] for library in threadpool_info()]

    found, both = list[list[int]](), threading.Barrier(2)

    def compute(_: int) -> None:
        both.wait(timeout=60)  # two at a time
        torch.ones(1 << 16).add(1)
        found.append([torch.get_num_threads(), *limits()])

    torch.set_num_threads(torch.get_num_threads())  # once it was set, torch gives it to every new thread
    with threadpool_limits(2):
        before = torch.get_num_threads(), limits()
        in_threads(compute, range(4), 2)
        assert (torch.get_num_threads(), limits()) == before
    assert np.array(found).tolist() == np.ones_like(found).tolist()


def test_a_limit_is_kept() -> None:
    with threadpool_limits(1):
        assert allowed() == 1


def test_an_error_reaches_the_caller() -> None:
    def fail(_: int) -> None:
        raise ArithmeticError("seen")

    with pytest.raises(ArithmeticError, match="seen"):
        in_threads(fail, range(4), 2)


def test_three_threads_find_what_one_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    queries, passages = embedded("q", random.standard_normal((50, 16))), embedded("p", random.random((300, 16)))
    whole = []
    for count in (1, 3):
        monkeypatch.setattr(threads, "allowed", lambda count=count: count)
        whole.append(dense.top_k(queries, blocks(passages, 2), 10))
    assert whole[0].equals(whole[1])
