"""The graph, planning and running, with small stages of the tests' own."""

from pathlib import Path
from typing import get_args

import pyarrow as pa
import pytest

from syneg import schemas
from syneg.config.run import RunConfig
from syneg.errors import BadInput, StageFailed
from syneg.pipeline import graph, pipeline
from syneg.pipeline.run import Run
from syneg.settings.corpus import CorpusConfig
from syneg.settings.mix import MixConfig, Strategy
from syneg.stage import Context, Inputs, Output, Stage
from syneg.store import files, manifest
from syneg.store.manifest import Manifest

CALLS: list[str] = []
LOSES_A_ROW = False


def make(inputs: Inputs, context: Context, *, corpus: CorpusConfig) -> Output:
    CALLS.append("make")
    rows = pa.table([["q0", "q1"], ["zero", "one"], ["train", "test"]], schema=schemas.QUERIES)
    (context.scratch / "model").mkdir()
    (context.scratch / "model" / "config.json").write_text("{}")
    rows_in = 3 if LOSES_A_ROW else 2
    return Output(rows_in, {"queries": rows}, {"model": context.scratch / "model"}, facts=lambda: {"seed": corpus.seed})


def count(inputs: Inputs, context: Context, *, mix: MixConfig) -> Output:
    CALLS.append("count")
    assert files.read(files.join(inputs.folders["model"], "config.json")) == b"{}"
    queries = inputs.tables["queries"].table()
    context.progress("counting")
    qrels = pa.table([queries["query_id"], ["p", "p"], pa.array([1, mix.seed], pa.int32())], schema=schemas.QRELS)
    return Output(3, {"qrels": qrels}, rejected={"over_limit": 1})


STAGES = (
    Stage("make", f"{__name__}:make", 1, {}, ("queries",), ("model",), ("corpus",), on_ray=False),
    Stage(
        "count",
        f"{__name__}:count",
        1,
        {"queries": "make.queries", "model": "make.model"},
        ("qrels",),
        sections=("mix",),
        on_ray=False,
    ),
)


class Heard:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def started(self, stage: Stage) -> None:
        self.lines.append(f"{stage.name} started")

    def progressed(self, stage: Stage, message: str) -> None:
        self.lines.append(f"{stage.name} {message}")

    def finished(self, stage: Stage, result: Manifest, reused: bool) -> None:
        self.lines.append(f"{stage.name} {'reused' if reused else 'made'} {result.rows_in}->{result.rows_out}")


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    monkeypatch.setattr(pipeline, "stages", lambda config: STAGES)
    CALLS.clear()
    return RunConfig.model_validate({"name": "x", "store": {"root": str(tmp_path)}, "corpus": {"source": "stdlib"}})


def run(config: RunConfig, first: str = "make", last: str = "count") -> Run:
    return pipeline.run(config, Heard(), first, last)


def test_runs_in_order_then_reuses_everything(config: RunConfig) -> None:
    heard = Heard()
    finished = pipeline.run(config, heard, "make", "count")
    assert heard.lines == ["make started", "make made 2->2", "count started", "count counting", "count made 3->2"]
    assert finished.manifests["count"].rejected == {"over_limit": 1}
    assert finished.manifests["make"].facts == {"seed": 0}
    assert finished.reused == frozenset()
    again = run(config)
    assert CALLS == ["make", "count"]
    assert again.reused == {"make", "count"}
    assert again.manifests == finished.manifests


def test_a_changed_setting_runs_what_depends_on_it(config: RunConfig) -> None:
    run(config)
    run(config.model_copy(update={"mix": MixConfig(seed=5)}))
    assert CALLS == ["make", "count", "count"]


def test_plan_says_what_is_done_and_writes_nothing(config: RunConfig, tmp_path: Path) -> None:
    assert [step.done for step in pipeline.plan(config)] == [False, False]
    assert list(tmp_path.iterdir()) == []
    run(config, last="make")
    assert [step.done for step in pipeline.plan(config)] == [True, False]


def test_from_needs_what_comes_before(config: RunConfig) -> None:
    with pytest.raises(BadInput, match="--from count needs finished stages before it, but make did not"):
        run(config, first="count")
    with pytest.raises(BadInput, match="no stage 'mak'"):
        run(config, first="mak")
    with pytest.raises(BadInput, match="comes after"):
        run(config, first="count", last="make")


def test_a_stage_that_loses_a_row_publishes_nothing(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "LOSES_A_ROW", True)
    with pytest.raises(StageFailed, match="3 rows came in, but 2 went out"):
        run(config)
    assert not pipeline.plan(config)[0].done


def test_of_two_runs_the_first_manifest_counts_and_the_other_run_goes_on_with_it(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another driver finishes the stage: while this one computes it, or before it starts to."""
    (step, _) = pipeline.plan(config)
    load = manifest.load
    monkeypatch.setattr(pipeline, "look", lambda config, graph: [pipeline.Step(STAGES[0], step.fingerprint, None)])
    run(config, last="make")
    theirs = files.read(files.join(config.store.root, "make", str(step.fingerprint), "manifest.json"))
    for seen in (None, load):
        answers = [None] if seen is None else []  # not there before the stage computes, there when it would publish
        monkeypatch.setattr(manifest, "load", lambda *of, answers=answers: answers.pop() if answers else load(*of))
        heard = Heard()
        finished = pipeline.run(config, heard, "make", "make")
        assert "make another run on the same root finished make first; its output is used" in heard.lines
        assert heard.lines[-1] == "make reused 2->2"
        assert finished.manifests["make"] == load(config.store.root, "make", str(step.fingerprint))
        assert files.read(files.join(config.store.root, "make", str(step.fingerprint), "manifest.json")) == theirs
    made = load(config.store.root, "make", str(step.fingerprint))
    assert made
    model = manifest.place(config.store.root, made, "model")
    assert Path(model, "config.json").read_text() == "{}"
    assert CALLS == ["make", "make"]


def test_a_manifest_that_cannot_be_read_is_named(config: RunConfig) -> None:
    run(config, last="make")
    (step, _) = pipeline.plan(config)
    path = files.join(config.store.root, "make", str(step.fingerprint), "manifest.json")
    files.put(path, b"{")
    with pytest.raises(Exception, match=r"manifest\.json cannot be read"):
        pipeline.plan(config)


STRATEGIES = get_args(Strategy)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("style_example", [False, True])
def test_every_stage_reads_what_an_earlier_one_makes(strategy: Strategy, rounds: int, style_example: bool) -> None:
    plain = with_strategy(of_rounds(rounds, style_example=style_example), strategy)
    judged = {"judge": {"enabled": True}, "judge_mined": {"enabled": True}}
    for config in (plain, RunConfig.model_validate(plain.model_dump() | judged)):
        made: set[str] = set()
        for stage in graph.stages(config):
            assert set(stage.reads.values()) <= made, stage.name
            made |= {f"{stage.name}.{output}" for output in stage.writes + stage.folders}


def test_a_strategy_neither_writes_nor_mines_what_it_has_no_use_for() -> None:
    found = {strategy: graph.names(with_strategy(of_rounds(1), strategy)) for strategy in STRATEGIES}
    assert found["direct"] == found["hybrid"]
    left_out = {strategy: set(found["hybrid"]).difference(names) for strategy, names in found.items()}
    assert left_out["retrieved_only"] == {"generate", "gate"}
    assert left_out["synthetic_only"] == {"mine"}
    assert left_out["in_batch_only"] == {"generate", "gate", "mine"}
    shown = with_strategy(of_rounds(1, style_example=True), "synthetic_only")
    assert "mine" in graph.names(shown)  # its candidates are what the LLM is shown


@pytest.mark.parametrize("strategy", ["hybrid", "direct"])
@pytest.mark.parametrize("nothing", [{"synthetic_per_instance": 0}, {"synthetic_share": 0.0}])
def test_a_mix_that_takes_no_synthetic_negative_asks_no_llm(strategy: Strategy, nothing: dict[str, float]) -> None:
    config = of_rounds(1, style_example=True)
    asked = RunConfig.model_validate(config.model_dump() | {"mix": {"strategy": strategy, **nothing}})
    assert set(graph.names(config)).difference(graph.names(asked)) == {"generate", "gate"}
    assert "synthetic" not in {stage.name: stage for stage in graph.stages(asked)}["mix"].reads


def test_a_run_without_a_stage_has_its_tables_without_a_row(config: RunConfig) -> None:
    table = run(config).table("gate", "synthetic")
    assert table.table().schema == schemas.SYNTHETIC
    assert [table.where("query_id", ["q0"], ["text"]).num_rows, *(b.num_rows for b in table.blocks())] == [0, 0]
    assert [part.table(["text"]).shape for part in table.split(8)] == [(0, 1)]


def test_a_round_mines_with_the_model_that_the_round_before_trained() -> None:
    stages = {stage.name: stage for stage in graph.stages(of_rounds(3))}
    assert [name for name in stages if name.startswith(("mine", "mix", "train", "embed"))] == [
        "embed",
        *("mine_1", "mix_1", "train_1", "embed_tuned_1"),
        *("mine_2", "mix_2", "train_2", "embed_tuned_2"),
        *("mine", "mix", "train", "embed_tuned"),
    ]
    assert "tuned_passage_vectors" not in stages["mine_1"].reads
    assert stages["mine_2"].reads["tuned_passage_vectors"] == "embed_tuned_1.passage_vectors"
    assert stages["mine"].reads["tuned_query_vectors"] == "embed_tuned_2.query_vectors"
    assert stages["mine"].reads["passage_vectors"] == "embed.passage_vectors"
    assert stages["embed_tuned_2"].reads["model"] == stages["train"].reads["model"] == "train_2.model"
    assert "model" not in stages["train_1"].reads
    assert stages["mix_2"].reads["candidates"] == "mine_2.candidates"
    assert stages["evaluate"].reads["tuned_passage_vectors"] == "embed_tuned.passage_vectors"


def test_the_judge_is_in_the_graph_where_it_is_asked() -> None:
    config = of_rounds(1)
    judged = RunConfig.model_validate(config.model_dump() | {"judge": {"enabled": True}})
    assert [name for name in graph.names(judged) if name not in graph.names(config)] == ["judge"]
    gates = [next(stage for stage in graph.stages(each) if stage.name == "gate") for each in (judged, config)]
    assert [gate.reads.get("judgements") for gate in gates] == ["judge.judgements", None]


def test_the_judge_of_mined_candidates_stands_between_mining_and_the_mix_of_every_round() -> None:
    config = of_rounds(2)
    asked = RunConfig.model_validate(config.model_dump() | {"judge_mined": {"enabled": True}})
    stages = {stage.name: stage for stage in graph.stages(asked)}
    added = [name for name in stages if name not in graph.names(config)]
    assert added == ["judge_mined_1", "gate_mined_1", "judge_mined", "gate_mined"]
    assert (
        stages["judge_mined_1"].reads["candidates"] == stages["gate_mined_1"].reads["candidates"] == "mine_1.candidates"
    )
    assert stages["mix_1"].reads["candidates"] == "gate_mined_1.candidates"
    assert stages["mix"].reads["candidates"] == stages["report"].reads["candidates"] == "gate_mined.candidates"
    assert stages["gate_mined"].reads["judgements"] == "judge_mined.judgements"
    assert graph.candidates_of(asked) == "gate_mined"
    plain = {stage.name: stage for stage in graph.stages(config)}
    assert plain["mix_1"].reads["candidates"] == "mine_1.candidates"
    assert plain["report"].reads["candidates"] == "mine.candidates"
    assert graph.candidates_of(config) == "mine"
    with pytest.raises(ValueError, match=r"per_sampler is 2, but an instance takes up to 3"):
        RunConfig.model_validate(config.model_dump() | {"judge_mined": {"enabled": True, "per_sampler": 2}})


def test_generation_reads_what_was_mined_where_it_shows_an_example_of_the_style() -> None:
    for rounds, mine in ((1, "mine"), (3, "mine_1")):
        plain, shows = (graph.stages(of_rounds(rounds, style_example=style)) for style in (False, True))
        (generate,) = (stage for stage in shows if stage.name == "generate")
        assert generate.reads["candidates"] == f"{mine}.candidates"
        others = [stage for stage in plain if stage.name != "generate"]
        assert sorted(map(str, others)) == sorted(str(stage) for stage in shows if stage.name != "generate")


def test_adore_stands_once_before_all_rounds_where_it_is_mined_with() -> None:
    config = of_rounds(2)
    mine = config.mine.model_dump() | {"samplers": {"ance": {}, "adore": {}}}
    asked = RunConfig.model_validate(config.model_dump() | {"mine": mine})
    assert [name for name in graph.names(asked) if name not in graph.names(config)] == ["adore"]
    stages = {stage.name: stage for stage in graph.stages(asked)}
    assert stages["adore"].reads["passage_vectors"] == "embed.passage_vectors"
    for name in ("mine_1", "mine"):
        assert stages[name].reads["adore_query_vectors"] == "adore.query_vectors"
        assert "adore_query_vectors" in stages["evaluate"].reads
        assert "adore_query_vectors" not in {stage.name: stage for stage in graph.stages(config)}[name].reads


def with_strategy(config: RunConfig, strategy: Strategy) -> RunConfig:
    train = {"in_batch_negatives": True}
    return RunConfig.model_validate(config.model_dump() | {"mix": {"strategy": strategy}, "train": train})


def of_rounds(rounds: int, **generate: object) -> RunConfig:
    samplers = {"dense": {}, "ance": {}} if rounds > 1 else {"dense": {}}
    mine = {"samplers": samplers, "rounds": rounds}
    return RunConfig.model_validate({"name": "x", "corpus": {"source": "stdlib"}, "mine": mine, "generate": generate})
