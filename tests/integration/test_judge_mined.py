"""The judge over mined candidates, asked of a server that always says the same."""

from pathlib import Path

import pyarrow as pa
import pytest

from syneg import schemas
from syneg.errors import BadInput
from syneg.generate import mined
from syneg.settings.generate import GateConfig, GenerateConfig, JudgeConfig, JudgeMinedConfig, RecordedEngine
from syneg.stage import Context, Inputs, Output
from tests.integration.test_endpoint import settings
from tests.integration.test_generate import context, corpus
from tests.memory import MemoryTable, recovered, rows_of
from tests.standin_server import StandIn
from tests.unit.generate.test_mined_gate import candidate

ASKED = JudgeMinedConfig(enabled=True, per_sampler=2)


def inputs() -> Inputs:
    """Three candidates of each sampler for five queries; the samplers share their first."""
    rows = [
        candidate(f"q0{query}", f"p{query + 1 + place * step:02d}", sampler, place)
        for query in range(5)
        for sampler, step in (("dense", 1), ("bm25", 2))
        for place in range(3)
    ]
    return Inputs({**corpus().tables, "candidates": MemoryTable(pa.Table.from_pylist(rows, schema=schemas.CANDIDATES))})


def judged(generate: GenerateConfig, around: Context) -> Output:
    return mined.judge(inputs(), around, generate=generate, judge=JudgeConfig(), judge_mined=ASKED)


@pytest.mark.usefixtures("ray_session")
def test_each_pair_is_judged_once_and_an_attempt_goes_on(tmp_path: Path) -> None:
    with StandIn(yes=0.75) as server:
        generate = settings(server)
        output = judged(generate, context(tmp_path))
        said = rows_of(output, "judgements")
        assert output.rows_in == said.num_rows == server.requests == 15
        assert "positive01w0" in str(server.bodies)  # a passage's text
        assert "query00w0" in str(server.bodies)
        half = recovered("judgements", said.slice(0, 8))
        again = judged(generate, Context(context(tmp_path).resources, tmp_path, recovered=half))
        rest = rows_of(again, "judgements")
        assert (again.rows_in, rest.num_rows, server.requests) == (15, 7, 22)
        whole = recovered("judgements", said)
        nothing = judged(generate, Context(context(tmp_path).resources, tmp_path, recovered=whole))
        assert list(nothing.tables["judgements"]) == []  # type: ignore[arg-type]
    given = Inputs({**inputs().tables, "judgements": MemoryTable(said)})
    for limit, expected in ((0.5, {"answers_query": 20, "not_judged": 10}), (0.8, {None: 20, "not_judged": 10})):
        gate = GateConfig(max_answer_probability=limit)
        rows = rows_of(mined.gate(given, context(tmp_path), gate=gate, judge_mined=ASKED), "candidates")
        reasons = rows["reject_reason"].to_pylist()
        assert {reason: reasons.count(reason) for reason in set(reasons)} == expected


def test_recorded_answers_cannot_judge(tmp_path: Path) -> None:
    generate = GenerateConfig(engine=RecordedEngine(kind="recorded", path="x"))
    with pytest.raises(BadInput, match=r"Give judge\.engine"):
        judged(generate, context(tmp_path))
