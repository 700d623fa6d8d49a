"""Answers that were recorded, in every form in which they come."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from syneg.errors import BadInput
from syneg.generate.engines import recorded

Written = Callable[[str, Sequence[dict[str, Any]]], str]


def as_lines(path: str, rows: Sequence[dict[str, Any]]) -> str:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def as_parquet(path: str, rows: Sequence[dict[str, Any]]) -> str:
    names = dict.fromkeys(name for row in rows for name in row)
    pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in names}), path)
    return path


FORMS = pytest.mark.parametrize(("write", "called"), [(as_lines, "line"), (as_parquet, "row")])


def row(query_id: str, text: str, **more: Any) -> dict[str, Any]:
    return {"query_id": query_id, "positive_id": "p", "hard_negative": text, "reasoning": "so"} | more


def completion(text: str, **more: Any) -> dict[str, Any]:
    choice = {"message": {"content": text} | more, "finish_reason": more.pop("finish_reason", "stop")}
    return {"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}


def batch_row(request: Any, body: Any = None, **more: Any) -> dict[str, Any]:
    """A line of a provider's batch output."""
    custom_id = request if isinstance(request, str) else json.dumps(request)
    return {"id": "x", "custom_id": custom_id, "response": {"status_code": 200, "body": body}, "error": None} | more


def texts(loaded: pa.Table) -> dict[tuple[str, int], str]:
    rows = loaded.to_pylist()
    return {(row["query_id"], row["sample"]): json.loads(row["recorded_answer"])["hard_negative"] for row in rows}


@FORMS
def test_samples_are_named_or_counted(tmp_path: Path, write: Written, called: str) -> None:
    named = [row("a", "third", sample=2), row("b", "first", sample=0), row("a", "first", sample=0)]
    assert texts(recorded.load(write(str(tmp_path / "named"), named))) == {
        ("a", 2): "third",
        ("b", 0): "first",
        ("a", 0): "first",
    }
    counted = [row("a", "first"), row("b", "first"), row("a", "second")]
    assert texts(recorded.load(write(str(tmp_path / "counted"), counted))) == {
        ("a", 0): "first",
        ("b", 0): "first",
        ("a", 1): "second",
    }


@FORMS
def test_what_is_told_beside_the_answer(tmp_path: Path, write: Written, called: str) -> None:
    rows = [row("a", "text", domain_name="Virology", length="half of"), row("b", "text", answer='{"own": "words"}')]
    first, second = recorded.load(write(str(tmp_path / "answers"), rows)).to_pylist()
    assert (first["recorded_domain"], first["recorded_difficulty"]) == ("Virology", None)
    assert first["recorded_length"] == "half of"
    assert json.loads(first["recorded_answer"]) == {"reasoning": "so", "hard_negative": "text"}
    assert second["recorded_answer"] == '{"own": "words"}'


@FORMS
def test_a_providers_batch_output(tmp_path: Path, write: Written, called: str) -> None:
    rows = [
        batch_row(["b", "p", 1], completion('{"hard_negative": "second"}')),
        batch_row(["a", "p", 0], completion('{"hard_negative": "fir', finish_reason="length")),
        batch_row(["b", "p", 0], None, response=None, error={"code": "batch_expired", "message": "too late"}),
        batch_row(["c", "p", 0], None, response={"status_code": 400, "body": {"error": {"message": "too long"}}}),
        batch_row(["d", "p", 0], completion("", refusal="I would rather not.")),
        batch_row(["e", "p", 0], None, response={"status_code": 400, "body": {"error": {"code": "content_filter"}}}),
    ]
    loaded = {(made["query_id"], made["sample"]): made for made in _loaded(write(str(tmp_path / "batch"), rows))}
    assert loaded["b", 1]["recorded_answer"] == '{"hard_negative": "second"}'
    assert (loaded["b", 1]["recorded_input_tokens"], loaded["b", 1]["recorded_output_tokens"]) == (7, 3)
    assert {name: made["recorded_finish_reason"] for name, made in loaded.items()} == {
        ("b", 1): "stop",
        ("a", 0): "length",
        ("b", 0): "error",
        ("c", 0): "error",
        ("d", 0): "refusal",
        ("e", 0): "refusal",
    }
    assert "too late" in loaded["b", 0]["recorded_error"]
    assert "too long" in loaded["c", 0]["recorded_error"]
    assert loaded["d", 0]["recorded_answer"] == "I would rather not."


def _loaded(path: str) -> list[dict[str, Any]]:
    return recorded.load(path).to_pylist()


WRONG = [
    ({"query_id": 7, "positive_id": "p", "hard_negative": "x"}, "texts query_id and positive_id"),
    ({"query_id": "a", "hard_negative": "x"}, "texts query_id and positive_id"),
    (row("a", "x", length=3), "length must be text"),
    (row("a", "x", answer={"hard_negative": "x"}), "answer must be text"),
    (row("a", "x", sample="first"), "sample is 'first'"),
    (row("a", "x", sample=1.0), r"sample is 1\.0"),
    (row("a", "x", sample=-1), "sample is -1"),
    (row("a", "x", sample=True), "sample is True"),
    (batch_row("request-1", completion("x")), "custom_id is 'request-1'"),
    (batch_row('"abc"', completion("x")), "custom_id is "),
    (batch_row(["a", "p"], completion("x")), "custom_id is "),
    (batch_row(["a", "p", "first"], completion("x")), "custom_id is "),
    (batch_row([1, 2, 0], completion("x")), "custom_id is "),
    (batch_row(["a", "p", 0], "words"), "a chat completion as its `body`"),
    (batch_row(["a", "p", 0], None, response=None), "a chat completion as its `body`"),
    (batch_row(["a", "p", 0], None, response="words"), "a chat completion as its `body`"),
    (batch_row(["a", "p", 0], {"object": "list"}), "a chat completion as its `body`"),
    (batch_row(["a", "p", 0], {"choices": ["words"]}), "a chat completion as its `body`"),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG)
@FORMS
def test_a_wrong_row_is_named(tmp_path: Path, write: Written, called: str, wrong: dict[str, Any], said: str) -> None:
    # Parquet has one type a column, so the wrong row stands there alone.
    rows, number = ([row("z", "fine"), wrong], 2) if write is as_lines else ([wrong], 1)
    path = write(str(tmp_path / "answers"), rows)
    with pytest.raises(BadInput, match=rf"answers, {called} {number}: .*{said}"):
        recorded.load(path)


@FORMS
def test_two_answers_for_one_request(tmp_path: Path, write: Written, called: str) -> None:
    named = write(str(tmp_path / "named"), [row("a", "x", sample=0), row("b", "x", sample=0), row("a", "y", sample=0)])
    with pytest.raises(BadInput, match=rf"named, {called} 3: query a and positive p have two answers for sample 0"):
        recorded.load(named)
    batch = write(str(tmp_path / "batch"), [batch_row(["a", "p", 1], completion("x"))] * 2)
    with pytest.raises(BadInput, match=rf"batch, {called} 2: .*two answers for sample 1"):
        recorded.load(batch)


def test_what_is_no_file_of_answers(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        recorded.load(str(tmp_path / "missing.jsonl"))
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(BadInput, match="begins as Parquet"):
        recorded.load(str(tmp_path / "cut.parquet"))
    (tmp_path / "list.jsonl").write_text('\n["a", "p"]\n')
    with pytest.raises(BadInput, match=r"list\.jsonl, line 2: expected an object"):
        recorded.load(str(tmp_path / "list.jsonl"))


def test_requests_are_looked_up_by_query_positive_and_sample(tmp_path: Path) -> None:
    """What nobody recorded is `no_answer`; what nobody asks for is left where it is."""
    rows = [
        batch_row(["a", "p", 1], completion('{"hard_negative": "second"}')),
        batch_row(["a", "p", 0], completion('{"hard_negative": "first"}')),
        batch_row(["a", "other", 0], completion('{"hard_negative": "of another positive"}')),
        batch_row(["nobody", "p", 0], completion('{"hard_negative": "extra"}')),
    ]
    loaded = recorded.load(as_lines(str(tmp_path / "batch"), rows))
    asked = [("a", 0), ("b", 0), ("a", 1), ("a", 2)]
    requests = pa.table(
        {
            "query_id": [query for query, _ in asked],
            "positive_id": ["p"] * 4,
            "sample": pa.array([sample for _, sample in asked], pa.int32()),
            **{name: ["drawn"] * 4 for name in ("domain", "difficulty", "length")},
        }
    )
    found = recorded.look_up(requests, requests.column_names, loaded).to_pylist()
    assert [(made["query_id"], made["sample"]) for made in found] == asked
    assert [made["finish_reason"] for made in found] == ["stop", "no_answer", "stop", "no_answer"]
    assert [made["answer"] for made in found] == ['{"hard_negative": "first"}', "", '{"hard_negative": "second"}', ""]
    assert [made["output_tokens"] for made in found] == [3, 0, 3, 0]
    assert {made["domain"] for made in found} == {"drawn"}


def test_half_a_character_does_not_end_the_run(tmp_path: Path) -> None:
    row = {"query_id": "q", "positive_id": "p", "answer": "cut \ud83d"}
    path = as_lines(str(tmp_path / "answers.jsonl"), [row])  # json spells it \\ud83d
    assert recorded.load(path)["recorded_answer"].to_pylist() == ["cut \ufffd"]
