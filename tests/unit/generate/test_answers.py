import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syneg.generate.answers import Answer, parse, schema
from syneg.rejection import REASONS

WHOLE = '{"reasoning": "why", "hard_negative": "a text"}'
PIECES = ("<think>", "</think>", "```json\n", "```", "\ufeff", "{", "}", '{"', '"', "\\", "a", ", ", ": ", WHOLE)
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["reasoning", "hard_negative", "x"]), inner)
    ),
    max_leaves=8,
)


@given(
    st.text()
    | st.text(alphabet='{}[]":,\\u dD8ehard_negativreasoning')
    | st.lists(st.sampled_from(PIECES)).map("".join)
    | json_values.map(json.dumps),
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
                assert "\0" not in found.hard_negative + found.reasoning
                found.hard_negative.encode()
                found.reasoning.encode()
            else:
                assert found in REASONS["synthetic"]


@pytest.mark.parametrize(
    ("text", "finish_reason", "expected"),
    [
        (WHOLE, "stop", Answer("a text", "why")),
        (WHOLE, "length", Answer("a text", "why")),  # whole after all
        ('{"reasoning": "", "hard_negative": "a\nb", "more": 1}', "stop", Answer("a\nb")),
        ('{"reasoning": "", "hard_negative": "a\\ud800b"}', "stop", Answer("a�b")),
        ('{"reasoning": "\\u0000", "hard_negative": "a\\u0000b\0"}', "stop", Answer("a�b�", "�")),
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
    form = schema(reflection=True, max_reasoning_chars=9, min_negative_chars=1, max_negative_chars=5, negatives=3)
    several = form["properties"]["hard_negatives"]
    assert (several["minItems"], several["maxItems"], several["items"]["maxLength"]) == (3, 3, 5)


@pytest.mark.parametrize(("negatives", "expected"), [(1, ["a"]), (2, ["a", "b"]), (3, ["a", "b", "malformed"])])
def test_either_spelling_is_taken_however_many_were_asked_for(negatives: int, expected: list[str]) -> None:
    def found(written: dict[str, object], before: str = "") -> list[str]:
        text = before + json.dumps({"reasoning": ""} | written)
        answers = parse(text, "stop", reflection=True, negatives=negatives)
        return [each.hard_negative if isinstance(each, Answer) else each for each in answers]

    one = ["a"] + ["malformed"] * (negatives - 1)
    for before in ("", "Here you are: "):
        assert found({"hard_negative": "a"}, before) == found({"hard_negatives": "a"}, before) == one
        assert found({"hard_negatives": ["a", "b"]}, before) == found({"hard_negative": ["a", "b"]}, before) == expected
        assert found({"hard_negatives": []}, before) == ["malformed"] * negatives
        assert found({"hard_negative": {}}, before) == ["malformed"] * negatives
    assert found({"hard_negative": ["", 5, "c"]}) == ["empty", "malformed", "c"][:negatives]


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{WHOLE}\n```",
        f"```\n{WHOLE}```",
        f"\ufeff{WHOLE}",
        f"<think>\n\n</think>\n\n{WHOLE}",
        f"\ufeff\n<think>so</think>```json\n{WHOLE}\n```",
        f"<thinking>so</thinking> <THINK>and so</THINK>{WHOLE}",
        f'<think>first {{"reasoning": "", "hard_negative": "a draft"}} and {{"open": </think>{WHOLE}',
        f'The prompt opened it: {{"reasoning": "", "hard_negative": "a draft"}}</think>{WHOLE}',
        f"Here is the document {{as JSON}}:\n\n{WHOLE}\n\nI hope that it serves you {{well}}.",
        f'In the form {{"reasoning": ..., "hard_negative": {{...}}}} you asked for: {WHOLE}',
        f'{{"query": "q"}} {WHOLE} {{"reasoning": "", "hard_negative": "the next one"}}',
        f"{{{WHOLE}}}",
        f"[{WHOLE}]",
    ],
)
def test_an_answer_is_found_in_what_stands_around_it(text: str) -> None:
    for finish_reason in ("stop", "length"):
        assert parse(text, finish_reason, reflection=True) == [Answer("a text", "why")]


around = st.sampled_from(["", "\ufeff", "```json\n", "Sure: ", "<think>so {</think>", "and so on</think>\n"])
quoting = st.text() | st.lists(st.sampled_from(PIECES), min_size=1).map("".join)


@given(around, quoting, quoting, st.sampled_from(["", "\n```", " That is all.", " {so}"]), st.booleans(), st.data())
def test_no_brace_quote_or_tag_inside_a_text_ends_it(
    before: str, reasoning: str, negative: str, after: str, ascii_only: bool, data: st.DataObject
) -> None:
    whole = json.dumps({"reasoning": reasoning, "hard_negative": negative}, ensure_ascii=ascii_only)
    assert parse(before + whole + after, "stop", reflection=True) == parse(whole, "stop", reflection=True)
    cut = before + whole[: data.draw(st.integers(1, len(whole) - 1))]
    assert parse(cut, "length", reflection=True) == ["truncated"]
    assert parse(cut, "stop", reflection=True) == ["malformed"]


@pytest.mark.parametrize(
    ("text", "finish_reason", "expected"),
    [
        (f"<think>{WHOLE}", "length", "truncated"),  # a draft is no answer
        (f"<think>{WHOLE}", "stop", "malformed"),
        (f"<think>{WHOLE}</think>", "stop", "malformed"),
        (f"<think>so</think><think>{WHOLE}", "length", "truncated"),
        (f"{WHOLE}</think>I cannot write that.", "stop", "refused"),
        ("<think>so</think>\nI'm sorry, but I can't help with that.", "stop", "refused"),
        ("\ufeff", "stop", "empty"),
        (f'```json\n{{"reasoning": {WHOLE}, "hard_neg', "length", "truncated"),  # nothing inside it is the answer
        (f'{{"answer": {WHOLE}}}', "stop", "malformed"),
        ('It is {"query": 1}, and', "length", "truncated"),
        ('It is {"query": 1}.', "stop", "malformed"),
        ("Sure: {'hard_negative': __import__('os').getcwd()}", "stop", "malformed"),
        ('Sure: {"hard_negative": __import__("os").getcwd()}', "stop", "malformed"),
        ('{"a": ' * 50_000 + "1" + "}" * 50_000 + " ", "stop", "malformed"),
        ('{"' * 50_000, "stop", "malformed"),
        ("</think>" * 50_000, "stop", "malformed"),
        ("<think>" * 50_000, "stop", "malformed"),
    ],
    ids=range(17),
)
def test_what_holds_no_answer_stays_rejected(text: str, finish_reason: str, expected: str) -> None:
    assert parse(text, finish_reason, reflection=True) == [expected]


def test_several_negatives_are_found_in_what_stands_around_them() -> None:
    whole = json.dumps({"reasoning": "why", "hard_negatives": ["a", "b"]})
    found = parse(f"{WHOLE} No, two: ```{whole}```", "stop", reflection=True, negatives=2)
    assert found == [Answer("a", "why"), Answer("b", "why")]
