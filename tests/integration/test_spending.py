"""What ends the stage early, against a server that counts what it was asked: the budget, and an engine that fails."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from syneg import schemas
from syneg.errors import StageFailed
from syneg.generate import judge, stage
from syneg.settings.generate import Budget, EndpointLimits, GenerateConfig, JudgeConfig
from syneg.stage import Context, Inputs
from tests.integration.test_endpoint import settings
from tests.integration.test_generate import answers, checked, context, corpus
from tests.memory import MemoryTable, recovered
from tests.standin_server import Faults, StandIn

TOKENS = ("input_tokens", "output_tokens")
PIECE = 4  # rows, of `context`
ONCE = EndpointLimits(max_retries=0)
FIRST_TOKENS = 3021  # of the twelve malformed answers


def stopped(generate: GenerateConfig, around: Context, said: str) -> pa.Table:
    """What is stored before the stage fails."""
    stored = [schemas.ANSWERS.empty_table()]
    blocks: Any = stage.run(corpus(), around, generate=generate).tables["answers"]
    with pytest.raises(StageFailed, match=said):
        stored.extend(schemas.conform(block, schemas.ANSWERS) for block in blocks)
    return pa.concat_tables(stored)


def tokens(rows: pa.Table) -> int:
    return sum(sum(rows[name].to_pylist()) for name in TOKENS)


@pytest.mark.usefixtures("ray_session")
def test_all_that_was_asked_is_stored_and_counted_and_a_higher_budget_goes_on(tmp_path: Path) -> None:
    with StandIn() as server:
        generate = settings(server, budget=Budget(tokens=3000), samples_per_pair=4)
        kept = stopped(generate, context(tmp_path), r"spent after \d+ of 48 answers: [\d,]+ tokens read")
        assert kept.num_rows == server.requests < 48
        dearest = max(
            read + written for read, written in zip(*(kept[name].to_pylist() for name in TOKENS), strict=True)
        )
        assert 3000 <= tokens(kept) < 3000 + 2 * PIECE * dearest
        said = rf"spent after {kept.num_rows} of 48 answers: {sum(kept['input_tokens'].to_pylist()):,} tokens read"
        assert stopped(generate, context(tmp_path, kept), said).num_rows == 0
        assert server.requests == kept.num_rows
        more = generate.model_copy(update={"budget": Budget(tokens=100_000)})
        rest = answers(stage.run(corpus(), context(tmp_path, kept), generate=more))
        assert rest.num_rows == 48 - kept.num_rows == server.requests - kept.num_rows


@pytest.mark.usefixtures("ray_session")
def test_a_budget_finishes_without_a_request_too_many(tmp_path: Path) -> None:
    with StandIn() as server:
        budget = Budget(money=3.0, input_price_per_million=1000, output_price_per_million=1000, on_reached="finish")
        generate = settings(server, budget=budget, samples_per_pair=4)
        rows = answers(stage.run(corpus(), context(tmp_path), generate=generate))
        met = Counter(rows["finish_reason"].to_pylist())
        assert met == {"stop": server.requests, "over_budget": 48 - server.requests}
        assert 0 < server.requests < 48
        kept = rows.filter(pa.array([reason == "stop" for reason in rows["finish_reason"].to_pylist()]))
        again = answers(stage.run(corpus(), context(tmp_path, kept), generate=generate))
        assert set(again["finish_reason"].to_pylist()) == {"over_budget"}
        assert server.requests == kept.num_rows == 48 - again.num_rows
    synthetic, facts = checked(rows, generate, tmp_path)
    assert sum(row["reject_reason"] == "over_budget" for row in synthetic) == met["over_budget"]
    assert sum(facts[name] for name in TOKENS) == tokens(kept) >= 3000


@pytest.mark.parametrize("on_reached", ["stop", "finish"])
@pytest.mark.usefixtures("ray_session")
def test_what_is_asked_again_is_counted_once_and_kept_beyond_the_budget(tmp_path: Path, on_reached: Any) -> None:
    with StandIn(Faults(malformed=1.0)) as server:
        budget = Budget(tokens=FIRST_TOKENS + 1, on_reached=on_reached)
        generate = settings(server, budget=budget, retries=1)
        if on_reached == "stop":
            rows = stopped(generate, context(tmp_path), "spent after 12 of 12 answers")
        else:
            rows = answers(stage.run(corpus(), context(tmp_path), generate=generate))
    assert rows.num_rows == len(set(rows["negative_id"].to_pylist())) == 12
    assert sum(rows["attempts"].to_pylist()) == server.requests < 24
    assert Counter(rows["attempts"].to_pylist()) == {1: 12 - 2 * PIECE, 2: 2 * PIECE}


@pytest.mark.usefixtures("ray_session")
def test_without_token_counts_no_budget_is_spent_blindly(tmp_path: Path) -> None:
    with StandIn(usage=False) as server:
        budget = Budget(tokens=10**9, on_reached="finish")
        generate = settings(server, budget=budget, samples_per_pair=4)
        kept = stopped(generate, context(tmp_path), r"reports no tokens.*generate\.max_pairs")
        assert kept.num_rows == server.requests <= 2 * PIECE
        assert stopped(generate, context(tmp_path, kept), "reports no tokens").num_rows == 0
        assert server.requests == kept.num_rows
        free = generate.model_copy(update={"budget": Budget()})
        output = stage.run(corpus(), context(tmp_path, kept), generate=free)
        assert answers(output).num_rows == 48 - kept.num_rows
    assert "48 answers came without token counts" in output.facts()["warnings"][0]


@pytest.mark.usefixtures("ray_session")
def test_an_outage_leaves_nothing_that_is_not_asked_again(tmp_path: Path) -> None:
    kept = schemas.ANSWERS.empty_table()
    with StandIn(lasting=True) as server:
        generate = settings(server, ONCE, samples_per_pair=4)
        for broken in (0.5, 1.0):
            server.faults = Faults(broken=broken)
            found = stopped(generate, context(tmp_path, kept), r"failed \d of 48 requests.*max_error_rate=0\.1")
            assert found["error"].null_count == found.num_rows
            kept = pa.concat_tables([kept, found])
        assert 0 < kept.num_rows < 48
        server.faults = Faults(broken=0.05)  # as many as may fail
        output = stage.run(corpus(), context(tmp_path, kept), generate=generate)
        rows = pa.concat_tables([kept, answers(output)])
    assert rows.num_rows == len(set(rows["negative_id"].to_pylist())) == output.rows_in == 48
    assert Counter(rows["finish_reason"].to_pylist())["error"] == output.facts()["errors"] <= 4


def judged(rows: pa.Table, generate: GenerateConfig, around: Context) -> tuple[list[pa.Table], dict[str, Any], str]:
    """What is stored, the facts, and what is said if the stage fails."""
    output = judge.run(
        Inputs({"answers": MemoryTable(rows)}), around, generate=generate, judge=JudgeConfig(enabled=True)
    )
    stored, said = [schemas.JUDGEMENTS.empty_table()], ""
    blocks: Any = output.tables["judgements"]
    try:
        stored.extend(schemas.conform(block, schemas.JUDGEMENTS) for block in blocks)
    except StageFailed as error:
        said = str(error)
    return stored, dict(output.facts()), said


@pytest.mark.usefixtures("ray_session")
def test_the_judge_asks_again_what_failed_and_tells_its_tokens(tmp_path: Path) -> None:
    with StandIn(lasting=True) as server:
        generate = settings(server, ONCE, samples_per_pair=2)
        rows = answers(stage.run(corpus(), context(tmp_path), generate=generate))
        server.faults = Faults(broken=0.4)
        first, _, said = judged(rows, generate, context(tmp_path))
        assert "of 24 texts, more than judge.max_error_rate=0.1. The last one said: InternalServerError" in said
        kept = pa.concat_tables(first)
        assert kept["answer_probability"].null_count == 0
        assert 0 < kept.num_rows < 24
        around = Context(context(tmp_path).resources, tmp_path, recovered=recovered("judgements", kept))
        server.faults, server.usage = Faults(broken=0.04), False
        rest, facts, said = judged(rows, generate, around)
    whole = pa.concat_tables([kept, *rest])
    assert (said, whole.num_rows) == ("", 24)
    assert whole["answer_probability"].null_count <= 2
    assert {name: facts[name] for name in TOKENS} == {name: sum(whole[name].to_pylist()) for name in TOKENS}
    assert facts["output_tokens"] == kept.num_rows
    untold = sum(block.num_rows - block["answer_probability"].null_count for block in rest)
    assert f"{untold} answers came without token counts" in facts["warnings"][0]
