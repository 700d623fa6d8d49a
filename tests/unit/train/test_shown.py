"""What is shown of a training while it runs."""

import time
from itertools import chain, repeat
from types import SimpleNamespace

import pytest
import ray
from ray.exceptions import ActorUnavailableError

from syneg.train.stage import shown


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
