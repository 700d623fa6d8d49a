import pytest

from syneg.errors import StageFailed
from syneg.generate import proposal


def test_lists_lose_their_repetitions() -> None:
    found = proposal.lists('{"domain_name": ["Tax", " Tax ", "Loans"], "difficult_level": ["Adult", ""]}')
    assert found.domain_name == ("Tax", "Loans")
    assert found.difficult_level == ("Adult",)
    assert found.length


@pytest.mark.parametrize("around", ["```json\n{}\n```", "<think>[so] {{}}</think>{}", "Here they are: {} Enough?"])
def test_lists_are_found_in_what_stands_around_them(around: str) -> None:
    found = proposal.lists(around.format('{"domain_name": ["Tax"], "difficult_level": ["Adult"]}'))
    assert (found.domain_name, found.difficult_level) == (("Tax",), ("Adult",))


def test_no_secret_is_proposed_or_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "zq9TOPSECRETzq9")
    found = proposal.lists('{"domain_name": ["of zq9TOPSECRETzq9\\u0000"], "difficult_level": ["Adult"]}')
    assert found.domain_name == ("of [redacted]\ufffd",)
    with pytest.raises(StageFailed) as failed:
        proposal.lists("a" * 190 + "zq9TOPSECRETzq9")
    assert "zq9" not in str(failed.value)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "{",
        "[]",
        '{"domain_name": []}',
        '{"domain_name": [""], "difficult_level": 5}',
        '{"domain_name": "history", "difficult_level": "basic"}',
        '{"domain_name": ["history", 5], "difficult_level": ["basic"]}',
        '{"domain_name": {"history": 1}, "difficult_level": ["basic"]}',
    ],
)
def test_an_answer_without_lists_is_a_failure(answer: str) -> None:
    with pytest.raises(StageFailed, match="gave no lists"):
        proposal.lists(answer)
