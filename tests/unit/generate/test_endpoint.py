import asyncio
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syneg.errors import BadInput
from syneg.generate.engines import endpoint
from syneg.generate.engines.asked import ANSWERED, Decoding
from syneg.settings.generate import EndpointLimits, GenerateConfig, OpenaiEngine
from tests.standin_server import StandIn

ENGINE = OpenaiEngine(kind="openai", model="m", base_url="http://127.0.0.1:1/v1")
SCHEMA = {"type": "object", "properties": {"a": {"type": "string", "minLength": 1, "maxLength": 9}}}

json_values = st.recursive(
    st.none() | st.integers(0, 9) | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2), max_leaves=4
)


def engine(**changes: object) -> OpenaiEngine:
    return OpenaiEngine.model_validate(ENGINE.model_dump() | changes)


def test_the_schema_goes_along_as_the_provider_takes_it() -> None:
    asked = Decoding(max_tokens=7, max_model_len=99, schema=SCHEMA)
    form = endpoint.sampling(ENGINE, asked)["response_format"]
    assert form == {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}}
    unbounded = endpoint.sampling(engine(string_bounds=False), asked)["response_format"]["json_schema"]["schema"]
    assert unbounded == {"type": "object", "properties": {"a": {"type": "string"}}}
    assert endpoint.sampling(engine(response_format="json_object"), asked)["response_format"]["type"] == "json_object"
    assert "response_format" not in endpoint.sampling(engine(response_format="text"), asked)


def test_sampling_names_only_what_every_provider_knows() -> None:
    found = endpoint.sampling(ENGINE, Decoding(max_tokens=7, max_model_len=99))
    assert found == {"model": "m", "temperature": 0.0, "top_p": 1.0, "max_tokens": 7, "extra_body": {}}
    own = endpoint.sampling(
        engine(max_tokens_name="max_completion_tokens", extra_body={"provider": "p"}),
        Decoding(max_tokens=7, max_model_len=99, min_p=0.1, repetition_penalty=1.1),
    )
    assert own["max_completion_tokens"] == 7
    assert own["extra_body"] == {"provider": "p", "min_p": 0.1, "repetition_penalty": 1.1}


@pytest.mark.parametrize(
    ("choice", "answer", "finish_reason"),
    [
        ({"message": {"content": "text"}, "finish_reason": "stop"}, "text", "stop"),
        ({"message": {"content": "te"}, "finish_reason": "length"}, "te", "length"),
        ({"message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}, "no", "refusal"),
        ({"message": {"content": ""}, "finish_reason": "content_filter"}, "", "refusal"),
        ({"message": None, "finish_reason": None}, "", "stop"),
    ],
)
def test_a_reply_as_a_row(choice: dict, answer: str, finish_reason: str) -> None:
    row = endpoint.of_reply({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
    assert (row["answer"], row["finish_reason"], row["input_tokens"], row["output_tokens"]) == (
        answer,
        finish_reason,
        3,
        2,
    )
    assert set(row) | {"asked_at", "seconds"} == set(ANSWERED.names)


def test_a_reply_without_anything_is_an_empty_answer() -> None:
    assert endpoint.of_reply({"choices": []})["answer"] == ""
    half = json.loads('"an answer \\ud83d"')
    assert endpoint.of_reply({"choices": [{"message": {"content": half}}]})["answer"] == "an answer \ufffd"
    assert endpoint.of_reply({"choices": None, "usage": None})["input_tokens"] == 0


def test_the_key_is_asked_of_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(BadInput, match="no OPENAI_API_KEY"):
        endpoint.key(ENGINE)
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    assert endpoint.key(ENGINE).get_secret_value() == "secret"
    assert "secret" not in repr(endpoint.key(ENGINE))
    assert endpoint.key(engine(api_key_env=None)).get_secret_value() == "none"


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.usefixtures("no_proxy")
def test_an_endpoint_that_nobody_serves_is_told_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with StandIn() as server:
        endpoint.reach(engine(base_url=server.url), "judge.engine")
        assert not server.requests
    with pytest.raises(
        BadInput, match=rf"^judge\.engine\.base_url={server.url}: nothing answers at 127\.0\.0\.1, port"
    ):
        endpoint.reach(engine(base_url=server.url), "judge.engine")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    endpoint.reach(engine(base_url=server.url), "judge.engine")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(BadInput, match="nothing answers"):
        endpoint.reach(engine(base_url=server.url), "judge.engine")


@pytest.mark.parametrize("url", ["http://", "http:///v1", "http://host:99999/v1", "http://[::1/v1"])
def test_an_address_without_host_or_port_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match=r"generate\.engine\.base_url=.*http://HOST:PORT/v1"):
        endpoint.reach(engine(base_url=url), "generate.engine")


@given(st.integers(1, 6))
def test_turns_keep_their_distance(turns: int) -> None:
    async def taken() -> float:
        pace = endpoint.Pace(per_minute=60 / 0.004)
        began = time.monotonic()
        await asyncio.gather(*(pace.turn() for _ in range(turns)))
        return time.monotonic() - began

    assert asyncio.run(taken()) >= 0.004 * (turns - 1) * 0.9


def test_limits_decide_no_row() -> None:
    assert not EndpointLimits().decides_rows()
    assert GenerateConfig().decides_rows()
