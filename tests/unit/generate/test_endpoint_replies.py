"""Odd replies: errors that gateways tell with status 200, web pages, content in parts, filters, the key itself."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow as pa
import pytest

from syneg.errors import StageFailed
from syneg.generate import prompts
from syneg.generate.engines import endpoint
from syneg.generate.engines.asked import ANSWERED, Decoding
from syneg.settings.generate import EndpointLimits, OpenaiEngine

USAGE = {"prompt_tokens": 3, "completion_tokens": 2}
GOOD = {"choices": [{"message": {"content": "text"}, "finish_reason": "stop"}], "usage": USAGE}
BUSY = {"error": {"code": 429, "message": "slow down"}}
PAGE = b"<!doctype html>\n<title>Please log in</title>"


def of_choice(**choice: Any) -> dict[str, Any]:
    return {"choices": [{"finish_reason": "stop", "message": {"content": "half"}} | choice], "usage": USAGE}


@contextmanager
def replying(*bodies: Any, status: int = 200, **headers: str) -> Iterator[tuple[str, list[float]]]:
    """A server that says these one after the other, the last one again and again, and when it was asked."""
    asked_at: list[float] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = bodies[min(len(asked_at), len(bodies) - 1)]
            asked_at.append(time.monotonic())
            sent = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Type", "text/html" if body is PAGE else "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked_at
    finally:
        server.shutdown()
        server.server_close()


def answered(url: str, retries: int = 2) -> dict[str, Any]:
    """The row of one request, as a worker gives it."""
    limits = EndpointLimits(max_retries=retries, timeout_seconds=20)
    engine = OpenaiEngine(kind="openai", model="m", base_url=url, limits=limits)
    messages = pa.array([[{"role": "user", "content": "?"}]], prompts.MESSAGES)
    batch = pa.table({"id": ["a"], "messages": messages, "seed": [1]})

    async def row() -> dict[str, Any]:
        worker = endpoint.Endpoint(engine, Decoding(max_tokens=9, max_model_len=99), ["id"], endpoint.key(engine))
        (found,) = [block async for block in worker(batch)]
        return found.to_pylist()[0]

    return asyncio.run(row())


@pytest.fixture(autouse=True)
def _has_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        (PAGE, "Please log in"),
        (b"null", "but null."),
        (b"", 'but "".'),
        ({"detail": "x" * 9_999}, "xxx..."),
        (b"{", 'but "{".'),
        (b"\xff", 'but "\ufffd"'),
        ([1], "[1]"),
        ("a text", "a text"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"choices": None}, "choices"),
        ({"choices": ["a"]}, "choices"),
        ({"choices": [{"text": "a legacy completion"}]}, "a legacy completion"),
        (of_choice(message="a"), '"message": "a"'),
        (of_choice(message={"content": {"a": 1}}), "content"),
    ],
)
def test_what_is_no_chat_completion_is_an_error_that_names_the_address(body: Any, seen: str) -> None:
    with replying(body) as (url, asked_at):
        row = answered(url)
    assert (row["answer"], row["finish_reason"]) == ("", "error")
    assert len(asked_at) == 1
    assert row["error"].startswith("No chat completion came, but")
    assert seen in row["error"]
    assert "base_url" in row["error"]
    assert len(row["error"]) < 600


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        ({"error": {"code": 400, "message": "no such model"}}, "no such model"),
        ({"error": "no such model", "choices": []}, "no such model"),
        ({"object": "error", "message": "no such model", "code": 40001}, "no such model"),
        (of_choice(finish_reason="error"), "finish_reason is error"),
        (of_choice(finish_reason="error", error={"code": 400, "message": "upstream"}) | {"error": None}, "upstream"),
        ({"error": {"message": "half a \ud83d"}}, "half a \ufffd"),
    ],
)
def test_an_error_told_with_status_200_is_an_error(body: dict[str, Any], seen: str) -> None:
    with replying(body) as (url, asked_at):
        row = answered(url)
    assert (row["answer"], row["finish_reason"]) == ("", "error")
    assert seen in row["error"]
    assert len(asked_at) == 1
    assert row["output_tokens"] == body.get("usage", {"completion_tokens": 0})["completion_tokens"]  # still paid for


@pytest.mark.parametrize(
    "busy",
    [
        BUSY,
        {"error": {"code": "429", "message": "slow down"}},
        {"error": {"code": "rate_limit_exceeded", "message": "slow down"}},
        {"error": {"code": None, "type": "rate_limit_error"}},
        {"error": {"status": "RESOURCE_EXHAUSTED"}},
        {"error": {"code": 503}},
        of_choice(finish_reason="error", error={"code": 429}),
    ],
)
def test_a_rate_limit_told_with_status_200_is_asked_again(busy: dict[str, Any]) -> None:
    with replying(busy, busy, GOOD, Retry_After="0.01") as (url, asked_at):
        row = answered(url)
    assert (row["answer"], row["finish_reason"], row["error"]) == ("text", "stop", None)
    assert len(asked_at) == 3


def test_it_is_asked_as_often_as_the_limits_allow_and_as_late_as_the_endpoint_says() -> None:
    with replying(BUSY, Retry_After="0.3") as (url, asked_at):
        row = answered(url, retries=1)
    assert "slow down" in row["error"]
    first, second = asked_at
    assert 0.3 <= second - first < 10
    with replying(BUSY) as (url, asked_at):
        assert answered(url, retries=0)["finish_reason"] == "error"
    assert len(asked_at) == 1


@pytest.mark.parametrize("told", [None, "", "nan", "-1", "1e9", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_waits_grow_up_to_a_bound_where_the_endpoint_says_nothing_of_use(told: str | None) -> None:
    waits = [endpoint.wait_seconds(number, told) for number in (0, 1, 2, 3, 4, 9, 5000)]
    assert all(low <= wait <= low * 4 / 3 for low, wait in zip((0.375, 0.75, 1.5, 3, 6, 6, 6), waits, strict=True))


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ([{"type": "text", "text": '{"a": '}, {"type": "text", "text": "1}"}], '{"a": 1}'),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "b"}], "b"),
        ([{"type": "text"}, {"type": "text", "text": None}, "c", 5, None], ""),
        ([], ""),
    ],
)
def test_parts_of_text_are_joined(content: list[Any], answer: str) -> None:
    with replying(of_choice(message={"content": content})) as (url, _):
        row = answered(url)
    assert (row["answer"], row["finish_reason"], row["error"]) == (answer, "stop", None)
    assert (row["input_tokens"], row["output_tokens"]) == (3, 2)


@pytest.mark.parametrize(
    "odd",
    [
        {"usage": []},
        {"usage": {"prompt_tokens": "3", "completion_tokens": 2.0, "prompt_tokens_details": [1]}},
        {"choices": [{"message": {"content": "text", "refusal": None}, "finish_reason": {"reason": "stop"}}]},
        {"choices": [{"message": {"content": "text"}, "logprobs": {"tokens": ["text"]}}]},
    ],
)
def test_what_is_odd_beside_the_answer_does_not_cost_the_answer(odd: dict[str, Any]) -> None:
    row = endpoint.of_reply(GOOD | odd, ("Yes", "No"))
    assert (row["answer"], row["finish_reason"]) == ("text", "stop")
    pa.Table.from_pylist([row], ANSWERED)


FILTERED = {"message": "The prompt was filtered.", "code": "content_filter", "status": 400, "innererror": {"code": "x"}}


@pytest.mark.parametrize("status", [400, 403, 200])
def test_what_a_content_filter_stops_is_refused(status: int) -> None:
    with replying({"error": FILTERED}, status=status) as (url, asked_at):
        row = answered(url)
    assert (row["answer"], row["finish_reason"], row["error"]) == ("The prompt was filtered.", "refusal", None)
    assert len(asked_at) == 1
    with replying({"error": {"message": "too long", "code": "context_length_exceeded"}}, status=400) as (url, _):
        assert answered(url)["finish_reason"] == "error"


KEY = 'zq9/TOP"SECRET/zq9'  # what JSON writes in more than one way


@pytest.mark.parametrize("as_written", [json.dumps(KEY), json.dumps(KEY).replace("/", "\\/")])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, '{"error": {"message": THE_KEY, "code": "limit"}}'),
        (400, '{"error": {"message": THE_KEY, "code": "limit"}}'),
        (200, '{"error": {"message": THE_KEY, "code": "content_filter"}}'),
        (400, '{"error": {"message": THE_KEY, "code": "content_filter"}}'),
        (200, '{"choices": [{"message": {"content": THE_KEY}, "finish_reason": "stop"}]}'),
        (200, '{"choices": [{"message": {"content": null, "refusal": THE_KEY}, "finish_reason": "stop"}]}'),
        (200, '{"detail": ["' + "x" * 275 + '", THE_KEY]}'),  # where an odd reply is cut when it is shown
    ],
)
def test_the_key_is_in_no_row(monkeypatch: pytest.MonkeyPatch, status: int, body: str, as_written: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with replying(body.replace("THE_KEY", as_written).encode(), status=status) as (url, _):
        row = answered(url)
    said = f"{row['answer']} {row['error']}"
    assert "zq9" not in said
    assert "[reda" in said


def test_the_key_is_in_no_text_that_is_no_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "zq9TOPSECRETzq9")
    with replying(b"<p>no such key: zq9TOPSECRETzq9") as (url, _):
        assert "no such key: [redacted]" in answered(url)["error"]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_an_error_that_ends_the_run_brings_no_key_along(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "zq9TOPSECRETzq9")
    body = {"error": {"message": "Incorrect API key provided: zq9TOPSECRETzq9"}}
    with (
        replying(body, status=status) as (url, _),
        pytest.raises(StageFailed, match=r"refuses m: .*\[redacted\]") as end,
    ):
        answered(url)
    assert "TOPSECRET" not in str(end.value)
    assert end.value.__cause__ is end.value.__context__ is None


def test_a_placeholder_for_a_key_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    with replying(of_choice(message={"content": "EMPTY words"})) as (url, _):
        assert answered(url)["answer"] == "EMPTY words"


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 2}, (3, 2)),
        ({"prompt_tokens": "100", "completion_tokens": "80"}, (100, 80)),
        ({"prompt_tokens": 3}, (0, 0)),
        ({"prompt_tokens": 3, "completion_tokens": None}, (0, 0)),
        ({"prompt_tokens": 10**12, "completion_tokens": 2}, (0, 0)),
        ({"prompt_tokens": 3, "completion_tokens": -5}, (0, 0)),
        ({"prompt_tokens": float("nan"), "completion_tokens": float("inf")}, (0, 0)),
        ({"prompt_tokens": "many", "completion_tokens": "1" * 5000}, (0, 0)),
        (None, (0, 0)),
    ],
)
def test_tokens_are_told_or_none(usage: Any, tokens: tuple[int, int]) -> None:
    row = endpoint.of_reply(GOOD | {"usage": usage})
    assert (row["input_tokens"], row["output_tokens"]) == tokens
    pa.Table.from_pylist([row], ANSWERED)
