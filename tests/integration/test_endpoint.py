"""The OpenAI-compatible engine against a server that fails at set rates."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from syneg import schemas
from syneg.errors import BadInput, StageFailed
from syneg.generate import judge, stage
from syneg.settings.generate import EndpointLimits, GateConfig, GenerateConfig, JudgeConfig, OpenaiEngine
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs
from tests.integration.test_generate import ATTRIBUTES, answers, checked, context, corpus
from tests.memory import MemoryTable, recovered
from tests.standin_server import KEY, Faults, StandIn

REQUESTS = 120
RATE = 0.08
FAULTS = Faults(*[RATE] * 9)
REASONS = {
    "malformed": "malformed",
    "wrong_schema": "malformed",
    "empty": "empty",
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
    limits = EndpointLimits(max_retries=0, timeout_seconds=12.0, max_in_flight=24)
    # A stalled answer never comes: one that comes late can win over the time-out where the loop was kept waiting.
    with StandIn(FAULTS, lasting=True, stall=900.0) as server:
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
    # Slow enough that the first pieces come back one by one, before the failing ones.
    with StandIn(dies_after=16, delay=0.5) as server:
        generate = settings(server, limits, samples_per_pair=4)
        blocks: Any = stage.run(corpus(), context(tmp_path), generate=generate).tables["answers"]
        with pytest.raises(StageFailed, match=r"failed \d+ of 48 requests.*APIConnectionError"):
            stored.extend(blocks)
        server.dies_after = None  # it is back
        kept = pa.concat_tables(stored)
        assert 8 <= kept.num_rows < 48
        before = server.requests
        rest = answers(stage.run(corpus(), context(tmp_path, kept), generate=generate))
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


@pytest.mark.usefixtures("ray_session")
def test_a_rejected_answer_is_asked_for_again_with_its_reason(tmp_path: Path) -> None:
    with StandIn(Faults(malformed=0.3, truncation=0.2)) as server:
        generate = settings(server, retries=2, negatives_per_answer=2, layout="prefix_first")
        rows = answers(stage.run(corpus(), context(tmp_path), generate=generate))
        asked = sum(row["attempts"] for row in rows.to_pylist())
        assert asked == server.requests > rows.num_rows == 12
    again = [body["messages"] for body in server.bodies if len(body["messages"]) == 3]
    assert {messages[1]["role"] for messages in again} == {"assistant"}
    assert any("not the JSON" in messages[2]["content"] for messages in again)
    synthetic, facts = checked(rows, generate, tmp_path)
    assert len(synthetic) == len({row["negative_id"] for row in synthetic}) == 24
    assert facts["requests"] == 24
    assert facts["output_tokens"] == sum(rows["output_tokens"].to_pylist())  # told once for both of an answer
    assert facts["prefix_cache_hit_rate"] == pytest.approx(0.5, abs=0.01)
    given_up = {row["query_id"] for row in rows.to_pylist() if row["attempts"] == 3}
    rejected = {row["query_id"] for row in synthetic if row["reject_reason"]}
    assert rejected <= given_up
    assert len(rejected) < 12


@pytest.mark.usefixtures("ray_session")
def test_the_judge_decides_at_the_gate(tmp_path: Path) -> None:
    with StandIn(yes=0.75) as server:
        generate = settings(server, max_pairs=6)
        rows = answers(stage.run(corpus(), context(tmp_path), generate=generate))
        inputs = Inputs({"answers": MemoryTable(rows)})
        output = judge.run(inputs, context(tmp_path), generate=generate, judge=JudgeConfig(enabled=True))
        judged: Any = output.tables["judgements"]
        said = pa.concat_tables(schemas.conform(block, schemas.JUDGEMENTS) for block in judged)
        assert output.rows_in == said.num_rows == 6
        assert server.bodies[-1]["max_tokens"] == 1
        done = Context(ResourcesConfig(), tmp_path, recovered=recovered("judgements", said))
        again = judge.run(inputs, done, generate=generate, judge=JudgeConfig(enabled=True))
        nothing: Any = again.tables["judgements"]
        assert (again.rows_in, list(nothing)) == (6, [])
    assert said["answer_probability"].to_pylist() == pytest.approx([0.75] * 6)
    synthetic, _ = checked(rows, generate, tmp_path, judgements=said)
    assert {row["reject_reason"] for row in synthetic} == {"answers_query"}
    lenient, _ = checked(rows, generate, tmp_path, GateConfig(max_answer_probability=0.8), said)
    assert {row["reject_reason"] for row in lenient} == {None}
    assert {round(row["answer_probability"], 2) for row in lenient} == {0.75}
