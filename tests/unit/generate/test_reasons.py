"""Every reason has its row, and what follows from it."""

from syneg import rejection
from syneg.generate import reasons


def test_the_rows_are_those_of_the_list_in_its_order() -> None:
    assert tuple(reasons.REASONS) == rejection.REASONS["synthetic"]


def test_what_follows_from_a_reason() -> None:
    assert reasons.BY_FINISH == {
        "error": "engine_error",
        "no_answer": "no_answer",
        "over_budget": "over_budget",
        "refusal": "refused",
    }
    assert reasons.NOT_ANSWERED == ("engine_error", "no_answer", "over_budget")
    assert reasons.NOT_WELL_FORMED == ("refused", "truncated", "malformed", "empty")
    assert reasons.TOLD["repetitive"] == "the hard negative repeats itself."
    assert "duplicate" not in reasons.TOLD
