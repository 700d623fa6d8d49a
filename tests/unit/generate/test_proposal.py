import pytest

from syneg.errors import StageFailed
from syneg.generate import proposal


def test_lists_lose_their_repetitions() -> None:
    found = proposal.lists('{"domain_name": ["Tax", " Tax ", "Loans"], "difficult_level": ["Adult", ""]}')
    assert found.domain_name == ("Tax", "Loans")
    assert found.difficult_level == ("Adult",)
    assert found.length


@pytest.mark.parametrize(
    "answer", ["", "{", "[]", '{"domain_name": []}', '{"domain_name": [""], "difficult_level": 5}']
)
def test_an_answer_without_lists_is_a_failure(answer: str) -> None:
    with pytest.raises(StageFailed, match="gave no lists"):
        proposal.lists(answer)
