"""The OpenAI-compatible engine against a server that fails at set rates."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from syneg.errors import BadInput, StageFailed
from syneg.generate import stage
from syneg.settings.generate import EndpointLimits, GenerateConfig, OpenaiEngine
from tests.integration.test_generate import ATTRIBUTES, answers, checked, context, corpus
from tests.standin_server import KEY, Faults, StandIn

REQUESTS = 120
RATE = 0.08
FAULTS = Faults(*[RATE] * 9)
REASONS = {
    "malformed": "malformed",
    "wrong_schema": "malformed",
    "empty": "malformed",
    "refusal": "refused",
    "truncation": "truncated",
    "repetition": "truncated",
    "timeout": "engine_error",
    "busy": "engine_error",
    "broken": "engine_error",
}


def settings(server: StandIn, limits: EndpointLimits | None = None, **more: Any) -> GenerateConfig:
    engine = OpenaiEngine(
        kind="openai",
        model="stand-in",
        base_url=server.url,
        api_key_env=more.pop("api_key_env", None),
        limits=limits or EndpointLimits(max_retries=2, timeout_seconds=20),
    )
    return GenerateConfig(engine=engine, attributes=ATTRIBUTES, **more)


@pytest.mark.usefixtures("ray_session")
def test_every_fault_is_a_row_with_its_reason(tmp_path: Path) -> None:
    limits = EndpointLimits(max_retries=0, timeout_seconds=6.0, max_in_flight=24)
    with StandIn(FAULTS, lasting=True, stall=8.0) as server:
        generate = settings(server, limits, max_error_rate=0.5, samples_per_pair=10)
        output = stage.run(corpus(REQUESTS // 10), context(tmp_path), generate=generate)
        rows = answers(output)
    assert output.rows_in == rows.num_rows == server.requests == REQUESTS
    synthetic, facts = checked(rows, generate, tmp_path)
    met = Counter(row["reject_reason"] for row in synthetic)
    expected: Counter[str] = Counter()
    for fault, count in server.seen.items():
        if fault:
            assert abs(count / REQUESTS - RATE) < 0.06
            expected[REASONS[fault]] += count
    assert {reason: met[reason] for reason in expected} == dict(expected)
    assert met[None] == server.seen[""] == facts["accepted"]
    assert facts["input_tokens"] > facts["output_tokens"] > 0


@pytest.mark.usefixtures("ray_session")
def test_what_passes_with_a_retry_is_no_error(tmp_path: Path) -> None:
    with StandIn(Faults(busy=0.3, broken=0.3)) as server:
        rows = answers(stage.run(corpus(), context(tmp_path), generate=settings(server)))
        assert server.seen["busy"]
        assert server.seen["broken"]
        assert server.requests == rows.num_rows + server.seen["busy"] + server.seen["broken"]
    assert set(rows["finish_reason"].to_pylist()) == {"stop"}
    body = server.bodies[0]
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["reasoning", "hard_negative"]
    assert (body["max_tokens"], body["temperature"], body["seed"]) == (1024, 0.8, body["seed"])


@pytest.mark.usefixtures("ray_session")
def test_death_in_the_middle_keeps_what_was_answered(tmp_path: Path) -> None:
    limits = EndpointLimits(max_retries=0, max_in_flight=4)
    stored: list[pa.Table] = []
    with StandIn(dies_after=16) as server:
        generate = settings(server, limits, samples_per_pair=4)
        blocks: Any = stage.run(corpus(), context(tmp_path), generate=generate).tables["answers"]
        with pytest.raises(StageFailed, match=r"failed \d+ of 48 requests.*APIConnectionError"):
            stored.extend(blocks)
        server.dies_after = None  # it is back
        kept = pa.concat_tables(stored)
        assert 8 <= kept.num_rows < 48
        before = server.requests
        done = frozenset(kept["negative_id"].to_pylist())
        rest = answers(stage.run(corpus(), context(tmp_path, done), generate=generate))
        assert rest.num_rows == server.requests - before == 48 - kept.num_rows


@pytest.mark.usefixtures("ray_session")
def test_the_key_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with StandIn(key=KEY) as server:
        generate = settings(server, api_key_env="STANDIN_KEY", max_pairs=4)
        monkeypatch.delenv("STANDIN_KEY", raising=False)
        with pytest.raises(BadInput, match="no STANDIN_KEY"):
            answers(stage.run(corpus(), context(tmp_path), generate=generate))
        monkeypatch.setenv("STANDIN_KEY", "a wrong key")
        with pytest.raises(StageFailed, match="invalid key"):  # at once, whatever error rate is allowed
            answers(
                stage.run(corpus(), context(tmp_path), generate=generate.model_copy(update={"max_error_rate": 1.0}))
            )
        monkeypatch.setenv("STANDIN_KEY", KEY)
        rows = answers(stage.run(corpus(), context(tmp_path), generate=generate))
    assert rows.num_rows == 4
    assert KEY not in json.dumps(rows.to_pylist()) + generate.model_dump_json()
