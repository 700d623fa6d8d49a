"""Steps run after what they read, side by side as wide as allowed, and a failure stops what has not begun."""

import threading
from collections.abc import Callable

import pytest

from syneg.pipeline import schedule

NAMES = ("corpus", "generate", "gate", "embed", "mine", "mix")
READS = {
    "corpus": [],
    "generate": ["corpus"],
    "gate": ["generate"],
    "embed": ["corpus"],
    "mine": ["embed"],
    "mix": ["gate", "mine"],
}


def run(width: int, work: Callable[[str], str]) -> list[str]:
    events: list[str] = []
    ended: set[str] = set()

    def begin(name: str) -> None:
        assert ended.issuperset(READS[name])
        events.append(f"+{name}")

    def end(name: str, result: str) -> None:
        assert result == name.upper()
        ended.add(name)
        events.append(f"-{name}")

    schedule.run(NAMES, READS, width, begin, work, end)
    assert ended == set(NAMES)
    return events


def test_one_after_the_other_in_this_thread() -> None:
    here = threading.current_thread()

    def work(name: str) -> str:
        assert threading.current_thread() is here
        return name.upper()

    assert run(1, work) == [sign + name for name in NAMES for sign in "+-"]


def test_independent_steps_meet() -> None:
    """Each waits for the other: one after the other they would never end."""
    meeting = threading.Barrier(2, timeout=20)

    def work(name: str) -> str:
        if name in ("generate", "embed"):
            meeting.wait()
        return name.upper()

    events = run(2, work)
    assert events.index("+embed") < events.index("-generate")


def test_no_wider_than_allowed() -> None:
    lock, running, widest = threading.Lock(), 0, 0

    def work(name: str) -> str:
        nonlocal running, widest
        with lock:
            running += 1
            widest = max(widest, running)
        with lock:
            running -= 1
        return name.upper()

    run(2, work)
    assert widest <= 2


def test_a_failure_lets_its_neighbour_end_and_starts_nothing() -> None:
    began: list[str] = []
    ended: list[str] = []
    failed = threading.Event()

    def work(name: str) -> str:
        if name == "generate":
            failed.set()
            raise ValueError("the engine died")
        if name == "embed":
            failed.wait(20)
        return name

    with pytest.raises(ValueError, match="the engine died"):
        schedule.run(NAMES, READS, 2, began.append, work, lambda name, _: ended.append(name))
    assert began == ["corpus", "generate", "embed"]
    assert ended == ["corpus", "embed"]
