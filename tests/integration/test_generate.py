"""Phase 1 over tiny tables: recorded answers, a stand-in engine that fails, an attempt that was killed, and vLLM."""

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray.data
from ray.data import Dataset

from syneg import schemas
from syneg.errors import BadInput, StageFailed
from syneg.generate import engine, judge, stage
from syneg.generate.engines.asked import ANSWERED
from syneg.settings.encoder import EncoderConfig
from syneg.settings.generate import GateConfig, GenerateConfig, JudgeConfig, RecordedEngine, VllmEngine
from syneg.settings.resources import ResourcesConfig, WorkerResources
from syneg.stage import Context, Inputs, Output, Stake
from tests.memory import MemoryTable, recovered

PAIRS = 12
ATTRIBUTES = str(Path(__file__).parents[2] / "configs" / "attributes" / "scifact.yaml")


def sentence(about: str, words: int = 12) -> str:
    return " ".join(f"{about}{number}" for number in range(words))


def corpus(pairs: int = PAIRS) -> Inputs:
    """`pairs` training pairs; beside them a test query, an irrelevant passage and an empty positive."""
    ids = [f"{number:02d}" for number in range(pairs)]
    passages = [(f"p{name}", f"title {name}", sentence(f"positive{name}w")) for name in ids] + [("blank", "", " \n")]
    queries = [(f"q{name}", sentence(f"query{name}w", 6), "train") for name in ids] + [("t", "a test query", "test")]
    judged = [(f"q{name}", f"p{name}", 1) for name in ids]
    judged += [("q00", "p01", 0), ("q00", "blank", 1), ("t", "p00", 1)]
    rows: dict[str, tuple[pa.Schema, list[Any]]] = {
        "passages": (schemas.PASSAGES, passages),
        "queries": (schemas.QUERIES, queries),
        "qrels": (schemas.QRELS, judged),
    }
    made = {}
    for name, (schema, values) in rows.items():
        columns = [pa.array(column, kind) for column, kind in zip(zip(*values, strict=True), schema.types, strict=True)]
        made[name] = MemoryTable(pa.table(columns, schema=schema))
    return Inputs(made)


def context(folder: Path, kept: pa.Table | None = None, lines: list[str] | None = None, rows: int = 256) -> Context:
    """`kept`: the answers that a killed attempt stored; `rows`: that a worker may be at before they are stored."""
    resources = ResourcesConfig(generate=WorkerResources(cpus=2, batch_rows=4))
    progress = (lambda line: None) if lines is None else lines.append
    stored = schemas.ANSWERS.empty_table() if kept is None else kept
    return Context(resources, folder, progress=progress, recovered=recovered("answers", stored), stake=Stake(rows))


def answers(output: Output) -> pa.Table:
    blocks = [schemas.conform(block, schemas.ANSWERS) for block in output.tables["answers"]]  # type: ignore[arg-type]
    return pa.concat_tables(blocks) if blocks else schemas.ANSWERS.empty_table()


def checked(
    rows: pa.Table,
    generate: GenerateConfig,
    folder: Path,
    gate: GateConfig | None = None,
    judgements: pa.Table | None = None,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The gate's rows by query, and its facts."""
    said = schemas.JUDGEMENTS.empty_table() if judgements is None else judgements
    tables = {**corpus().tables, "answers": MemoryTable(rows), "judgements": MemoryTable(said)}
    output = stage.check(
        Inputs(tables), context(folder), generate=generate, gate=gate or GateConfig(), encoder=EncoderConfig()
    )
    blocks = [schemas.conform(block, schemas.SYNTHETIC) for block in output.tables["synthetic"]]  # type: ignore[arg-type]
    assert output.rows_in == sum(block.num_rows for block in blocks) == rows.num_rows * generate.negatives_per_answer
    gated = [row for block in blocks for row in block.to_pylist()]
    return sorted(gated, key=lambda row: (row["query_id"], row["negative_id"])), dict(output.facts())


def recorded(folder: Path, lines: list[dict[str, Any]]) -> GenerateConfig:
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return GenerateConfig(engine=RecordedEngine(kind="recorded", path=str(path)), attributes=ATTRIBUTES)


def line(number: int, hard_negative: str | None, **more: str) -> dict[str, Any]:
    pair = {"query_id": f"q{number:02d}", "positive_id": f"p{number:02d}"}
    return pair | {"reasoning": "because", "hard_negative": hard_negative} | more


@pytest.mark.usefixtures("ray_session")
def test_every_request_is_one_row_with_its_reason(tmp_path: Path) -> None:
    same = sentence("same", 40)
    lines = [
        line(0, sentence("negative"), domain_name="Virology of bats", length="half of"),
        line(1, None),
        line(2, " "),
        line(3, "one two"),
        line(4, sentence("negative", 90)),
        line(5, f"This is a hard negative. {sentence('x')}"),
        line(6, sentence("query06w", 6)),
        line(7, sentence("positive07w")),
        line(8, same),
        line(9, same.replace("same20", "other")),
        line(10, f"  {same.upper()}."),
        line(99, sentence("nobody asked")),
    ]
    generate = recorded(tmp_path, lines)
    output = stage.run(corpus(), context(tmp_path), generate=generate)
    rows = answers(output)
    assert output.rows_in == rows.num_rows == PAIRS
    synthetic, facts = checked(rows, generate, tmp_path)
    reasons = {number: row["reject_reason"] for number, row in enumerate(synthetic)}
    kept = min((synthetic[number]["negative_id"], number) for number in (8, 9, 10))[1]
    expected = {8: "duplicate", 9: "duplicate", 10: "duplicate", 11: "no_answer"} | {kept: None}
    expected |= dict(enumerate([None, "malformed", "empty", "too_short", "too_long", "meta_text"]))
    assert reasons == expected | {6: "copies_query", 7: "copies_positive"}
    assert synthetic[0]["domain"] == "Virology of bats"  # as recorded, not as drawn
    assert synthetic[0]["length"] == "half of"
    assert synthetic[1]["text"] == '{"reasoning": "because", "hard_negative": null}'  # kept to be read
    assert synthetic[8]["text"] == same
    assert synthetic[0]["model"].startswith("recorded@")
    assert {row["answer_probability"] for row in synthetic} == {None}
    assert (facts["requests"], facts["accepted"]) == (PAIRS, 2)
    assert facts["yield"]["domain"]["Virology of bats"] == {
        "requests": 1,
        "accepted": 1,
        "input_tokens": 0,
        "output_tokens": 0,
    }
    assert sum(count["requests"] for count in facts["yield"]["difficulty"].values()) == PAIRS


@pytest.mark.usefixtures("ray_session")
def test_an_attempt_after_a_killed_one_asks_only_for_the_rest(tmp_path: Path) -> None:
    same = sentence("same", 30)
    generate = recorded(
        tmp_path, [line(number, same if number % 3 else sentence(f"n{number}")) for number in range(12)]
    )
    whole = answers(stage.run(corpus(), context(tmp_path), generate=generate))
    for share in (whole.slice(0, 5), whole):
        done = frozenset(share["negative_id"].to_pylist())
        output = stage.run(corpus(), context(tmp_path, share), generate=generate)
        rest = answers(output)
        assert output.rows_in == PAIRS
        assert rest.num_rows == PAIRS - share.num_rows
        assert not done & set(rest["negative_id"].to_pylist())
        # Duplicates are found between rows of both attempts, and are the same as without the interruption.
        assert checked(pa.concat_tables([rest, share]), generate, tmp_path) == checked(whole, generate, tmp_path)


def failing(every: int) -> Callable[..., Dataset]:
    """An engine that fails each `every`-th request of a piece, and answers the others with a text of their own."""

    def batch_answers(batch: pa.Table, columns: list[str]) -> pa.Table:
        rows = [
            {name: row[name] for name in columns}
            | {"input_tokens": 9, "output_tokens": 7, "asked_at": 5.0, "seconds": 2.0}
            | (
                {"answer": "", "finish_reason": "error", "error": "ValueError: too hot"}
                if index % every == every - 1
                else {
                    "answer": json.dumps({"reasoning": "", "hard_negative": sentence(row["negative_id"])}),
                    "finish_reason": "stop",
                }
            )
            for index, row in enumerate(batch.to_pylist())
        ]
        schema = pa.schema([*(batch.schema.field(name) for name in columns), *ANSWERED])
        return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema)

    def answer(requests: Dataset, columns: list[str], *_: object) -> Dataset:
        look = partial(batch_answers, columns=columns)
        return requests.map_batches(look, batch_size=None, batch_format="pyarrow")

    return answer


@pytest.mark.usefixtures("ray_session")
def test_failed_requests_are_rejected_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "answer", failing(4))
    lines: list[str] = []
    generate = GenerateConfig(attributes=ATTRIBUTES, max_error_rate=0.25, samples_per_pair=2, max_pairs=8)
    output = stage.run(corpus(), context(tmp_path, lines=lines), generate=generate)
    rows = answers(output)
    assert rows.num_rows == output.rows_in == 16
    assert lines[-1] == "12/16 answers, 4 failed"
    synthetic, facts = checked(rows, generate, tmp_path)
    assert Counter(row["reject_reason"] for row in synthetic) == {None: 12, "engine_error": 4}
    assert facts["output_tokens_per_second"] == 16 * 7 / 2.0  # all were with the engine at the same time


@pytest.mark.usefixtures("ray_session")
def test_too_many_failures_end_the_stage_and_keep_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "answer", failing(4))
    generate = GenerateConfig(attributes=ATTRIBUTES, max_error_rate=0.1)
    blocks = stage.run(corpus(), context(tmp_path), generate=generate).tables["answers"]
    stored: list[pa.Table] = []
    with pytest.raises(StageFailed, match="ValueError: too hot"):
        stored.extend(blocks)  # type: ignore[arg-type]
    # One error in 12 is allowed, two are not; neither is stored, so that both are asked again.
    assert [block.num_rows for block in stored] == [3, 3]


@pytest.mark.usefixtures("ray_session")
def test_a_broken_engine_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(batch: pa.Table) -> pa.Table:
        raise RuntimeError("no such dtype")

    monkeypatch.setattr(engine, "answer", lambda requests, *_: requests.map_batches(broken, batch_format="pyarrow"))
    blocks = stage.run(corpus(), context(tmp_path), generate=GenerateConfig(attributes=ATTRIBUTES)).tables["answers"]
    with pytest.raises(StageFailed, match=r"stopped after 0 of 12 answers: .*no such dtype"):
        list(blocks)


@pytest.mark.parametrize(
    ("content", "said"),
    [('{"query_id": "q"', "line 1: no JSON"), ('\n{"query_id": "q"}', "line 2: expected"), ("[]", "line 1: expected")],
)
@pytest.mark.usefixtures("ray_session")
def test_wrong_recorded_answers_are_refused(tmp_path: Path, content: str, said: str) -> None:
    generate = recorded(tmp_path, [])
    (tmp_path / "answers.jsonl").write_text(content)
    with pytest.raises(BadInput, match=said):
        answers(stage.run(corpus(), context(tmp_path), generate=generate))


@pytest.mark.engine
@pytest.mark.usefixtures("ray_session")
def test_vllm_answers_under_the_grammar(tmp_path: Path) -> None:
    lines: list[str] = []
    generate = GenerateConfig(
        engine=VllmEngine(),
        attributes=ATTRIBUTES,
        max_pairs=8,
        max_tokens=160,
        max_model_len=1024,
        max_reasoning_chars=80,
        min_negative_chars=60,
        max_negative_chars=200,
        repetition_penalty=1.1,
        temperature=0.7,
        top_p=1.0,  # below 1 a CPU sorts the whole vocabulary for every token
    )
    few = context(tmp_path, lines=lines, rows=4)  # others wait until these are stored, on two CPUs once for ever
    output = stage.run(corpus(), few, generate=generate)
    rows = answers(output)
    assert output.rows_in == rows.num_rows == 8
    assert lines[-1] == "8/8 answers"
    assert rows["error"].null_count == 8
    assert rows["cached_tokens"].null_count == 0, "vLLM's plugin is not registered: run `make setup`"
    assert all(0 < tokens <= 160 for tokens in rows["output_tokens"].to_pylist())
    synthetic, facts = checked(rows, generate, tmp_path)
    reasons = {row["reject_reason"] for row in synthetic}
    assert not reasons & {"malformed", "engine_error", "no_answer", "empty"}
    assert all(60 <= len(row["text"]) <= 200 for row in synthetic if row["reject_reason"] != "truncated")
    assert facts["output_tokens"] == sum(rows["output_tokens"].to_pylist())
    assert facts["output_tokens_per_second"] > 0


@pytest.mark.engine
@pytest.mark.usefixtures("ray_session")
def test_vllm_judges_in_one_token(tmp_path: Path) -> None:
    texts = [
        {"id": "0", "query": "What is the capital of France?", "passage": "Paris is the capital of France."},
        {"id": "1", "query": "What is the capital of France?", "passage": "Whales are mammals that live in the sea."},
    ]
    settings = JudgeConfig(enabled=True, max_model_len=512)
    found = judge.judgements(
        ray.data.from_arrow(pa.Table.from_pylist(texts, judge.TEXTS)),
        settings,
        VllmEngine(),
        context(tmp_path).resources,
    )
    rows = found.take_all()
    assert len(rows) == 2
    assert all(0 < row["answer_probability"] < 1 for row in rows)
    assert all(row["output_tokens"] == 1 for row in rows)
