"""Following a job over a tunnel that drops."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import requests
from ray.job_submission import JobStatus

from syneg.cluster import client
from syneg.cluster.client import Head, Lost


@dataclass
class Details:
    status: JobStatus
    driver_exit_code: int | None = None


@dataclass
class Client:
    """A job server that is out of reach for the first `drops` requests, or runs a job that ends after them."""

    drops: int
    asked: int = 0
    waited: list[float] = field(default_factory=list)

    def __call__(self, address: str) -> "Client":
        return self

    def get_job_info(self, submission: str) -> Details:
        self.asked += 1
        if self.asked <= self.drops:
            raise requests.ConnectionError("Connection refused")
        return Details(JobStatus.SUCCEEDED, 0)

    async def tail_job_logs(self, submission: str) -> AsyncIterator[str]:
        yield "one\n"
        raise RuntimeError("WebSocket connection closed unexpectedly")


def followed(monkeypatch: pytest.MonkeyPatch, drops: int) -> tuple[int, str, Client]:
    server, shown = Client(drops), list[str]()
    monkeypatch.setattr(client, "JobSubmissionClient", server)
    monkeypatch.setattr(time, "sleep", server.waited.append)
    return Head("http://127.0.0.1:8265").follow("demo-1", shown.append), "".join(shown), server


def test_a_tunnel_that_drops_for_a_moment_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    code, shown, server = followed(monkeypatch, drops=20)
    assert (code, shown) == (0, "one\n")
    assert server.waited == sorted(server.waited)
    assert server.waited[-1] > server.waited[0]


def test_a_head_that_stays_away_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        Lost, match=r"(?s)it may still run.*ray job status --address http://127.0.0.1:8265 demo-1"
    ) as lost:
        followed(monkeypatch, drops=10**6)
    assert lost.value.exit_code == 3
