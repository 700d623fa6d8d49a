import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syneg.generate.answers import Answer, parse, schema
from syneg.schemas import SYNTHETIC_REASONS

WHOLE = '{"reasoning": "why", "hard_negative": "a text"}'
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["reasoning", "hard_negative", "x"]), inner)
    ),
    max_leaves=8,
)


@given(
    st.text() | st.text(alphabet='{}[]":,\\u dD8ehard_negativreasoning') | json_values.map(json.dumps),
    st.sampled_from(["stop", "length", "error", "no_answer", "refusal", "over_budget", "other"]),
    st.booleans(),
)
def test_parse_never_raises_and_what_it_gives_can_be_stored(text: str, finish_reason: str, reflection: bool) -> None:
    for negatives in (1, 3):
        answers = parse(text, finish_reason, reflection=reflection, negatives=negatives)
        assert len(answers) == negatives
        for found in answers:
            if isinstance(found, Answer):
                assert found.hard_negative.strip()
                found.hard_negative.encode()
                found.reasoning.encode()
            else:
                assert found in SYNTHETIC_REASONS


@pytest.mark.parametrize(
    ("text", "finish_reason", "expected"),
    [
        (WHOLE, "stop", Answer("a text", "why")),
        (WHOLE, "length", Answer("a text", "why")),  # whole after all
        ('{"reasoning": "", "hard_negative": "a\nb", "more": 1}', "stop", Answer("a\nb")),
        ('{"reasoning": "", "hard_negative": "a\\ud800b"}', "stop", Answer("a�b")),
        (WHOLE[:-9], "length", "truncated"),
        (WHOLE[:-9], "stop", "malformed"),
        ("", "stop", "empty"),
        (" \n", "stop", "empty"),
        ("I'm sorry, but I can't help with that.", "stop", "refused"),
        ("I cannot write misleading documents.", "stop", "refused"),
        ("I can write this: a text", "stop", "malformed"),
        ("Sorry states of affairs", "length", "truncated"),
        ("no", "refusal", "refused"),
        ("", "over_budget", "over_budget"),
        ("[" * 100_000, "stop", "malformed"),
        ("9" * 10_000, "stop", "malformed"),
        ('["a text"]', "stop", "malformed"),
        ('{"hard_negative": "a text"}', "stop", "malformed"),
        ('{"reasoning": "why", "hard_negative": 5}', "stop", "malformed"),
        ('{"reasoning": "why", "hard_negative": null}', "stop", "malformed"),
        ("{'hard_negative': __import__('os').getcwd()}", "stop", "malformed"),
        ('{"reasoning": "why", "hard_negative": " \\n"}', "stop", "empty"),
        (WHOLE, "error", "engine_error"),
        ("", "no_answer", "no_answer"),
    ],
)
def test_parse(text: str, finish_reason: str, expected: Answer | str) -> None:
    assert parse(text, finish_reason, reflection=True) == [expected]


def test_without_reflection_no_reasoning_is_asked_for_or_used() -> None:
    assert parse('{"hard_negative": "a text"}', "stop", reflection=False) == [Answer("a text")]
    assert list(
        schema(reflection=False, max_reasoning_chars=1, min_negative_chars=1, max_negative_chars=2)["properties"]
    ) == ["hard_negative"]


def test_the_schema_reasons_first_and_bounds_every_string() -> None:
    answer = schema(reflection=True, max_reasoning_chars=160, min_negative_chars=80, max_negative_chars=400)
    assert list(answer["properties"]) == answer["required"] == ["reasoning", "hard_negative"]
    assert [text["maxLength"] for text in answer["properties"].values()] == [160, 400]
    assert answer["properties"]["hard_negative"]["minLength"] == 80
    assert answer["additionalProperties"] is False


def test_several_negatives_in_one_answer() -> None:
    def found(*negatives: object) -> list[Answer | str]:
        text = json.dumps({"reasoning": "why", "hard_negatives": negatives})
        return parse(text, "stop", reflection=True, negatives=3)

    assert found("a", "b", "c", "d") == [Answer("a", "why"), Answer("b", "why"), Answer("c", "why")]
    assert found("a", 5) == [Answer("a", "why"), "malformed", "malformed"]
    assert found("a", " ", "c") == [Answer("a", "why"), "empty", Answer("c", "why")]
    assert parse(WHOLE, "stop", reflection=True, negatives=2) == ["malformed"] * 2
    form = schema(reflection=True, max_reasoning_chars=9, min_negative_chars=1, max_negative_chars=5, negatives=3)
    several = form["properties"]["hard_negatives"]
    assert (several["minItems"], several["maxItems"], several["items"]["maxLength"]) == (3, 3, 5)
