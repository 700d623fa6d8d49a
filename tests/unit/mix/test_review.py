"""What a person decided, read from a file, and what is said of decisions without effect."""

from pathlib import Path

import pytest

from syneg.errors import BadInput
from syneg.mix import review
from syneg.mix.review import Review


@pytest.mark.parametrize("line", ["{", "[]", '{"query_id": "q", "positive_id": "p", "decision": "maybe"}'])
def test_a_bad_line_of_a_review_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "review.jsonl"
    path.write_text(f'{{"query_id": "q", "positive_id": "p", "decision": "accept"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(BadInput, match=r"review\.jsonl:2"):
        review.load(str(path))


def test_rejections_that_struck_nothing_are_told() -> None:
    """As of a review that was written for an earlier mix. With an "accept" nothing is lost."""
    pairs = {("q0", "p0"): False, ("q1", "p1"): False, ("q2", "gone"): True}
    negatives = {("q0", "p0", f"n{place}"): False for place in range(1_200)} | {("q0", "p0", "liked"): True}
    found = Review(pairs, negatives)
    (warning,) = found.warnings({("q1", "p1"), ("q0", "p0", "n1")})
    assert "1,200 of 1,202 rejections changed nothing" in warning
    assert "(q0, p0; q0, p0, n0; q0, p0, n10; ...)" in warning
    (warning,) = found.warnings({("q1", "p1"), *negatives})
    assert "1 of 1,202" in warning
    assert "(q0, p0)" in warning
    assert found.warnings({*pairs, *negatives}) == Review().warnings(set()) == []
