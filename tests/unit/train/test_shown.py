"""What is shown of a training while it runs."""

import threading
import time
from collections.abc import Mapping
from functools import partial
from itertools import chain, repeat
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError

from syneg.train.stage import shown
from syneg.train.trackers import Telling


def test_a_journal_that_does_not_answer_for_a_moment_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = chain([ActorUnavailableError("for a moment", None), "step 7"], repeat("step 8"))

    def get(_: object) -> str:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(ray, "get", get)
    lines: list[str] = []
    with shown(SimpleNamespace(line=SimpleNamespace(remote=lambda: None)), lines.append):
        deadline = time.monotonic() + 30
        while not lines and time.monotonic() < deadline:
            time.sleep(0.05)
    assert (lines[0], lines[-1]) == ("step 7", "step 8")  # the last one when it ended


def test_a_journal_that_died_hides_nothing_of_what_the_body_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(_: object) -> str:
        raise ActorDiedError()

    monkeypatch.setattr(ray, "get", get)
    with pytest.raises(ValueError, match="the body's"), shown(Journal([]), print):
        raise ValueError("the body's")


class Journal:
    """Gives all rows at once, and more while it is asked."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows_since = SimpleNamespace(remote=lambda first: [row for row in rows if row["step"] >= first])
        self.line = SimpleNamespace(remote=lambda: f"{len(rows)} steps")


class Told:
    """A tracker that fails at a step, at its end, or never."""

    def __init__(self, fails_at: int | str | None = None) -> None:
        self.fails_at = fails_at
        self.steps: list[int] = []
        self.closed = 0
        self.thread = threading.get_ident()

    def log(self, row: Mapping[str, Any]) -> None:
        assert threading.get_ident() == self.thread
        if row["step"] == self.fails_at:
            raise ConnectionError("https://user:password@tracker is gone")
        self.steps.append(row["step"])

    def close(self) -> None:
        assert threading.get_ident() == self.thread
        self.closed += 1
        if self.fails_at is not None:
            raise RuntimeError("nothing to close")


def test_a_tracker_that_fails_ends_neither_the_training_nor_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray, "get", lambda found: found)
    rows = [{"step": step} for step in range(3)]
    told: dict[str, Told] = {}

    def started(name: str, fails_at: int | str | None) -> Told:
        if fails_at == "the start":
            raise ConnectionError("https://user:password@tracker does not answer")
        return told.setdefault(name, Told(fails_at))

    fails = {"absent": "the start", "broken": 1, "last": "the end", "well": None}
    trackers = {name: partial(started, name, at) for name, at in fails.items()}
    lines: list[str] = []
    with shown(Journal(rows), lines.append, trackers) as warnings:
        deadline = time.monotonic() + 30
        while not lines and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(warnings) == 2
        rows.append({"step": 3})  # the watcher lives
    assert {name: one.steps for name, one in told.items()} == {
        "broken": [0],
        "last": [0, 1, 2, 3],
        "well": [0, 1, 2, 3],
    }
    assert [one.closed for one in told.values()] == [1, 1, 1]
    assert lines[-1] == "4 steps"
    assert [warning.split(", see")[0] for warning in warnings] == [
        "absent was told nothing: it failed (ConnectionError",
        "broken was told nothing from step 1 on: it failed (ConnectionError",
        "last may lack the last rows: it failed (RuntimeError",
    ]
    assert "password" not in str(warnings)
    assert capsys.readouterr().err.count("ConnectionError: https") == 2


def test_a_signal_is_no_failure_of_a_tracker() -> None:
    class Interrupted(Told):
        def log(self, row: Mapping[str, Any]) -> None:
            raise KeyboardInterrupt

    telling = Telling({"interrupted": Interrupted})
    with pytest.raises(KeyboardInterrupt):
        telling.log({"step": 0})
    assert telling.warnings == []
