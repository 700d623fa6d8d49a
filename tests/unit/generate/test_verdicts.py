from typing import Any

import pyarrow as pa
import pytest

from syneg.commands import generate as commands
from syneg.errors import BadInput
from syneg.generate.verdicts import as_markdown, verdicts
from tests.memory import MemoryTable

REASONS = [None] * 5 + ["truncated", "malformed", "engine_error"] + ["too_short"] * 4


def tables() -> tuple[MemoryTable, MemoryTable]:
    """A negative for each of REASONS, in an order that is not that of their ids."""
    numbers = range(len(REASONS))
    rows: list[dict[str, Any]] = [
        {"negative_id": f"n{20 - number}", "query_id": f"q{number}", "positive_id": "p", "reject_reason": reason}
        | {"text": f"written\nfor {number}", "domain": "", "difficulty": "", "length": ""}
        for number, reason in zip(numbers, REASONS, strict=True)
    ]
    pairs = [{"query_id": f"q{n}", "positive_id": "p", "query": f"query {n}", "positive": "told"} for n in numbers]
    return MemoryTable(pa.Table.from_pylist(rows)), MemoryTable(pa.Table.from_pylist(pairs))


def test_all_are_counted_and_some_are_shown() -> None:
    found = verdicts(*tables(), examples=3)
    assert found.counts == {None: 5, "truncated": 1, "malformed": 1, "engine_error": 1, "too_short": 4}
    assert (found.answered, found.well_formed) == (11, 9)
    assert [row["negative_id"] for row in found.examples["too_short"]] == ["n10", "n11", "n12"]
    assert {row["query"] for row in found.examples["truncated"]} == {"query 5"}


def test_a_page_to_read() -> None:
    text = "\n".join(as_markdown("tiny", verdicts(*tables(), examples=2)))
    assert "12 negatives asked for, 5 accepted (41.7 %)." in text
    assert "11 were answered, 9 of them well-formed (81.8 %)." in text
    assert "| accepted | 5 | 41.7 % |" in text
    assert "## too_short: 2 of 4" in text
    assert "written: written for 8" not in text  # n12 is the third of its reason
    assert "written: written for 10" in text


def test_nothing_is_shown_of_what_has_not_run(tmp_path: Any) -> None:
    with pytest.raises(BadInput, match="syneg run CONFIG --to gate"):
        commands.generate("configs/demo.yaml", [f"store.root={tmp_path}"], rejected=3)
