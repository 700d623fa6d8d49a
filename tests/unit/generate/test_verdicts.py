from typing import Any

import pyarrow as pa
import pytest

from syneg.commands import generate as commands
from syneg.errors import BadInput
from syneg.generate.verdicts import as_markdown, verdicts
from tests.memory import MemoryTable

REASONS = [None] * 5 + ["truncated", "malformed", "engine_error"] + ["too_short"] * 4


def tables() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of negatives, one for each of REASONS, in an order that is not that of their ids, and of the answers."""
    numbers = range(len(REASONS))
    rows: list[dict[str, Any]] = [
        {"negative_id": f"n{20 - number}", "query_id": f"q{number}", "positive_id": "p", "seed": number}
        | {"reject_reason": reason}
        | {"text": f"written\nfor {number}", "domain": "", "difficulty": "", "length": ""}
        for number, reason in zip(numbers, REASONS, strict=True)
    ]
    answers = [
        {"query_id": f"q{n}", "positive_id": "p", "seed": n, "query": f"query {n}", "positive": "told", "error": None}
        for n in numbers
    ]
    return rows, answers


def stored(rows: list[dict[str, Any]]) -> MemoryTable:
    return MemoryTable(pa.Table.from_pylist(rows))


def test_all_are_counted_and_some_are_shown() -> None:
    found = verdicts(*map(stored, tables()), examples=3)
    assert found.counts == {None: 5, "truncated": 1, "malformed": 1, "engine_error": 1, "too_short": 4}
    assert (found.answered, found.well_formed) == (11, 9)
    assert [row["negative_id"] for row in found.examples["too_short"]] == ["n10", "n11", "n12"]
    assert {row["query"] for row in found.examples["truncated"]} == {"query 5"}


def test_a_page_to_read() -> None:
    text = "\n".join(as_markdown("tiny", verdicts(*map(stored, tables()), examples=2)))
    assert "12 negatives asked for, 5 accepted (41.7 %)." in text
    assert "11 were answered, 9 of them well-formed (81.8 %)." in text
    assert "| accepted | 5 | 41.7 % |" in text
    assert "## too_short: 2 of 4" in text
    assert "written: written for 8" not in text  # n12 is the third of its reason
    assert "written: written for 10" in text


def test_what_a_negative_was_asked_to_be_is_told_in_whole_words() -> None:
    negatives, answers = tables()
    negatives[5] |= {"domain": "Tax", "length": "slightly shorter than"}
    lines = as_markdown("tiny", verdicts(*map(stored, (negatives, answers)), examples=1))
    assert "1. **query q5** query 5 (Tax, slightly shorter than the positive)" in "\n".join(lines)


def test_each_answer_tells_its_own_error_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "zq9TOPSECRETzq9")
    negatives, answers = tables()
    for number in (7, 6):  # an engine_error, and another answer to the same pair
        negatives[number] |= {"query_id": "q7", "text": ""}
        answers[number] |= {"query_id": "q7", "error": f"{number} said: bad key\nzq9TOPSECRETzq9"}
    lines = list(as_markdown("tiny", verdicts(*map(stored, (negatives, answers)), examples=2)))
    told = [line for line in lines if "- error:" in line]
    assert told == [f"   - error: {number} said: bad key [redacted]" for number in (7, 6)]


def test_long_texts_are_cut_and_no_secret_is_cut_in_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "zq9TOPSECRETzq9")
    negatives, answers = tables()
    negatives[5]["text"] = "a" * 590 + "zq9TOPSECRETzq9" + "b" * 1_000_000
    answers[5]["positive"] = "word " * 1_000
    lines = list(as_markdown("tiny", verdicts(*map(stored, (negatives, answers)), examples=1)))
    assert max(map(len, lines)) < 650
    assert not any("zq9" in line for line in lines)


def test_nothing_is_shown_of_what_has_not_run(tmp_path: Any) -> None:
    with pytest.raises(BadInput, match="syneg run CONFIG --to gate"):
        commands.generate("configs/demo.yaml", [f"store.root={tmp_path}"], rejected=3)
