"""What is refused when a run is planned, before anything of it is made."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from syneg.config import overrides
from syneg.config.run import RunConfig
from syneg.errors import BadInput
from syneg.pipeline import graph, pipeline
from syneg.pipeline.pipeline import Graph
from syneg.store import manifest
from tests.unit.corpus.folders import BEIR, MSMARCO, write
from tests.unit.encoder.test_architecture import folder
from tests.unit.experiment.test_evaluation import made
from tests.unit.pipeline.test_pipeline import Heard

BERT = {"model_type": "bert", "hidden_size": 32, "max_position_embeddings": 300}
ROBERTA = {"model_type": "roberta", "hidden_size": 32, "max_position_embeddings": 302, "pad_token_id": 1}
DEV = {"qrels/dev.tsv": "query-id\tcorpus-id\tscore\nq3\tp3\t1\n"}
OPENAI = "generate.engine={kind: openai, model: m, api_key_env: SYNEG_TEST_KEY}"
NOBODY = "generate.engine={kind: openai, model: m, base_url: 'http://127.0.0.1:1/v1', api_key_env: null}"
JUDGED = "judge={enabled: true, engine: {kind: openai, model: m, api_key_env: SYNEG_TEST_KEY}}"


class Made:
    """A config on a tiny collection and a model that is nothing but a config.json."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.model(BERT)
        self.collection(BEIR)

    def model(self, config: Mapping[str, Any]) -> None:
        folder(self._place / "model", {"config.json": dict(config)})

    def collection(self, contents: Mapping[str, str]) -> None:
        write(self._place / "corpus", contents)

    def file(self, name: str, content: str) -> str:
        folder(self._place, {name: content})
        return str(self._place / name)

    def __call__(self, *settings: str) -> RunConfig:
        path = self.file("config.yaml", "name: x\n")
        own = ("store.root", "out"), ("corpus.path", "corpus"), ("encoder.model", "model")
        return overrides.load(path, [*(f"{key}={self._place / name}" for key, name in own), *settings])

    def is_untouched(self) -> bool:
        return not (self._place / "out").exists()


@pytest.fixture
def config(tmp_path: Path) -> Made:
    return Made(tmp_path)


def refused(config: RunConfig, message: str) -> None:
    """By `syneg plan`, by `syneg run` and by whatever else plans."""
    for allow in (False, True):
        with pytest.raises(BadInput, match=message):
            pipeline.plan(config, allow_unreachable=allow)
    with pytest.raises(BadInput, match=message):
        pipeline.run(config, Heard())


@pytest.mark.parametrize("section", ["train", "encoder"])
@pytest.mark.parametrize("kind", ["query", "passage"])
@pytest.mark.parametrize("model", [BERT, ROBERTA])
def test_texts_longer_than_the_model_has_positions(config: Made, section: str, kind: str, model: dict) -> None:
    config.model(model)
    key = f"{section}.{kind}_max_length"
    pipeline.plan(config(f"{key}=300"))
    refused(config(f"{key}=301"), rf"{key} is 301, but encoder\.model=.* positions for 300 tokens\. Give 300 or less")
    assert config.is_untouched()
    config.model({"model_type": "t5"})
    pipeline.plan(config(f"{key}=301"))


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_an_encoder_that_is_no_model(config: Made, text: str) -> None:
    path = config.file("model/config.json", text)
    refused(config(), rf"encoder\.model: .*{Path(path).parent}")


def test_more_dimensions_than_a_vector_has(config: Made) -> None:
    pipeline.plan(config("train.matryoshka_dimensions=[8, 32]"))
    refused(config("train.matryoshka_dimensions=[33, 8]"), "matryoshka_dimensions holds 33.* has 32 dimensions")
    config.model({**BERT, "hidden_size": None})
    pipeline.plan(config("train.matryoshka_dimensions=[33]"))


def test_dev_is_looked_at_where_there_is_none(config: Made) -> None:
    refused(config("train.dev.every=5"), r"train\.dev\.every is 5, .* \(corpus\.dev_split=dev\)")
    config.collection(DEV)
    pipeline.plan(config("train.dev.every=5"))
    refused(config("train.dev.every=5", "corpus.dev_split=null"), r"corpus\.dev_split=null\)")
    stdlib = ("corpus.source=stdlib", "corpus.path=null", "train.dev.every=5")
    pipeline.plan(config(*stdlib))
    refused(config(*stdlib, "corpus.dev_split=null"), "has no judgements of a dev split")


def test_a_dev_split_that_was_named_has_to_be_there(config: Made, tmp_path: Path) -> None:
    named = config("corpus.dev_split=validation")
    refused(
        named, r"corpus\.dev_split: .* no judgements qrels/validation\.tsv .*Do without them: corpus\.dev_split=null"
    )
    config.collection({"qrels/validation.tsv": DEV["qrels/dev.tsv"]})
    pipeline.plan(named)
    pipeline.plan(config("corpus.dev_split=null"))
    left_behind = RunConfig.model_validate_json(config().model_dump_json())  # where every value is given
    pipeline.plan(left_behind)
    other = str(write(tmp_path / "msmarco", MSMARCO))
    of_msmarco = ("corpus.source=msmarco", f"corpus.path={other}", "corpus.test_split=dev.small")
    pipeline.plan(config(*of_msmarco, "train.dev.every=5"))
    refused(config(*of_msmarco, "corpus.dev_split=devs"), r"no judgements qrels\.devs\.tsv")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("mix={retrieved_per_instance: 5}", r"takes up to 5 .*windows of dense, bm25 hold 4 together"),
        ("mix={retrieved_per_instance: 3, quotas: {bm25: 1}}", r"windows of bm25 hold 2 together"),
        ("mix={strategy: direct, synthetic_per_instance: 3}", r"takes up to 5 .*strategy=direct"),
        ("mix={synthetic_per_instance: 3, synthetic_share: 0.5}", "takes up to 5"),
        ("mix={synthetic_per_instance: 12}", "takes up to 5"),  # 9 are written; retrieved ones stand in for 3
        ("mix={retrieved_per_instance: 4}", None),
        ("mix={synthetic_per_instance: 3}", None),
        ("mix={retrieved_per_instance: 5, on_short: keep}", None),
        ("mix={retrieved_per_instance: 5, on_short: borrow}", None),
        ("mix={retrieved_per_instance: 5, strategy: synthetic_only}", None),
    ],
)
def test_more_negatives_than_the_windows_hold(config: Made, settings: str, message: str | None) -> None:
    samplers = "mine.samplers={dense: {window_start: 3, window_end: 5}, bm25: {window_end: 2}}"
    given = (samplers, "generate.samples_per_pair=9", settings)
    if message is None:
        pipeline.plan(config(*given))
    else:
        refused(config(*given), message)
        pipeline.plan(config(*given, "mine.on_short=random"))  # fills up to mine.least, which is 3


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ("mix={strategy: synthetic_only}", 3),
        ("mix={strategy: synthetic_only, synthetic_per_instance: 0, retrieved_per_instance: 2}", 2),
        ("mix={strategy: direct}", 3),
        ("mix={strategy: direct, synthetic_share: 0}", None),
        ("mix={strategy: synthetic_only, retrieved_per_instance: 0}", None),
        ("mix={strategy: synthetic_only, on_short: keep}", None),
        ("mix={strategy: direct, on_short: borrow}", None),
        ("mix={strategy: hybrid, synthetic_per_instance: 2}", None),  # retrieved ones stand in
        ("mix={strategy: retrieved_only}", None),
    ],
)
def test_more_synthetic_negatives_than_are_written_for_a_pair(config: Made, settings: str, asked: int | None) -> None:
    if asked is None:
        pipeline.plan(config(settings))
        return
    for written in (1, asked - 1):
        message = rf"one takes {asked} of .* no more than {written} can be written .*samples_per_pair={written} "
        refused(config(settings, f"generate.samples_per_pair={written}"), message)
    pipeline.plan(config(settings, f"generate.samples_per_pair={asked}"))
    pipeline.plan(config(settings, "generate.samples_per_pair=2", "generate.negatives_per_answer=2"))


def test_a_batch_for_fewer_than_all_workers(config: Made) -> None:
    of_four = "resources.train.max_workers=4"
    pipeline.plan(config(of_four, "train.batch_size=4"))
    refused(config(of_four, "train.batch_size=3"), r"train\.batch_size is 3, but resources\.train\.max_workers is 4")


@pytest.mark.parametrize(
    ("size", "workers", "across", "message"),
    [
        (1, 1, False, r"train\.batch_size to 2 or more\."),
        (1, 1, True, r"train\.batch_size to 2 or more\."),
        (4, 4, False, r"train\.batch_size to 8 or more, lower .*max_workers, or set .*cross_device_negatives=true"),
        (7, 4, False, r"train\.batch_size=7 with resources\.train\.max_workers=4"),
        (8, 4, False, None),
        (4, 4, True, None),
        (2, 1, False, None),
    ],
)
def test_instances_that_are_alone_have_no_negative_in_the_batch(
    config: Made, size: int, workers: int, across: bool, message: str | None
) -> None:
    given = (
        "train.in_batch_negatives=true",
        f"train.batch_size={size}",
        f"resources.train.max_workers={workers}",
        f"train.cross_device_negatives={str(across).lower()}",
    )
    pipeline.plan(config(*given))
    if message is None:
        pipeline.plan(config("mix.strategy=in_batch_only", *given))
    else:
        refused(config("mix.strategy=in_batch_only", *given), message)


def test_files_that_a_later_stage_reads(config: Made) -> None:
    lists = config.file("lists.yaml", "length: [a]\n")
    refused(config(f"generate.attributes={lists}"), r"generate\.attributes: .* expected exactly the lists")
    pipeline.plan(config(f"generate.attributes={lists}", "mix.strategy=retrieved_only"))
    decisions = config.file("decisions.jsonl", '{"query_id": "q1"}\n')
    refused(config(f"mix.review={decisions}"), r"mix\.review: .*decisions\.jsonl:1: expected")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([OPENAI], "the environment has no SYNEG_TEST_KEY"),
        ([JUDGED], r"judge\.engine\.api_key_env: the environment has no SYNEG_TEST_KEY"),
        ([NOBODY], r"generate\.engine\.base_url=http://127\.0\.0\.1:1/v1: nothing answers"),
        (["resources.train.trackers=[mlflow]"], "asks for mlflow, but the package mlflow is not installed"),
        (["generate.engine={kind: recorded, path: PROMPTS/task.txt}"], r"task\.txt, line 1: no JSON"),
        (["generate.prompt=PROMPTS"], r"generate\.prompt: .*persona\.txt cannot be read"),
        (["judge={enabled: true, prompt: PROMPTS/task.txt}"], r"judge\.prompt: .* lacks \{mark\}"),
        (["judge_mined={enabled: true}", "judge.prompt=PROMPTS/task.txt"], r"judge\.prompt: .* lacks \{mark\}"),
    ],
)
def test_what_the_machine_lacks_is_told_by_a_run_and_left_open_by_a_plan(
    config: Made, settings: list[str], message: str, tmp_path: Path
) -> None:
    """A plan may be made where no key is; by what it imports it stays quick."""
    folder(tmp_path, {"prompts/task.txt": "text"})
    given = config(*(setting.replace("PROMPTS", str(tmp_path / "prompts")) for setting in settings))
    pipeline.plan(given)
    with pytest.raises(BadInput, match=message):
        pipeline.run(given, Heard())
    assert config.is_untouched()
    pipeline.run(given, Heard(), last="corpus")


def test_what_no_stage_is_going_to_read_refuses_nothing(config: Made) -> None:
    wrong = config("train.passage_max_length=301", "resources.train.max_workers=99", OPENAI)
    finished = pipeline.run(wrong, Heard(), last="corpus")
    assert list(finished.manifests) == ["corpus"]
    pipeline.plan(wrong, graph=Graph(graph.to_score(bm25=True)))
    refused(config("encoder.passage_max_length=301"), r"encoder\.passage_max_length")
    with pytest.raises(BadInput, match=r"resources\.train\.max_workers is 99"):
        pipeline.run(wrong, Heard(), last="train")


def test_what_is_done_is_not_checked_again(config: Made) -> None:
    wrong = config("train.passage_max_length=301")
    (train,) = (step for step in pipeline.look(wrong) if step.stage.name == "train")
    assert manifest.publish(wrong.store.root, made("train", train.fingerprint or ""))
    assert [step.stage.name for step in pipeline.plan(wrong) if step.done] == ["train"]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"architectures": ["BertModel"]}, "BertModel with 2 labels"),
        ({"architectures": ["BertForSequenceClassification"], "id2label": dict.fromkeys("abc")}, "with 3 labels"),
        ({"architectures": ["BertForSequenceClassification"]}, r"mine\.cross_encoder\.max_length is 301"),
        (None, "no model at"),
    ],
)
def test_a_cross_encoder_scores_pairs(config: Made, model: dict[str, Any] | None, message: str) -> None:
    cross = Path(config.file("place", "")).with_name("cross")
    if model is not None:
        folder(cross, {"config.json": BERT | model})
    refused(config(f"mine.cross_encoder={{model: {cross}, max_length: 301}}"), message)


def test_every_round_is_checked(config: Made) -> None:
    rounds = ("mine.samplers={ance: {}}", "mine.rounds=2", "train.passage_max_length=301")
    refused(config(*rounds), r"train\.passage_max_length is 301")
    with pytest.raises(BadInput, match=r"train\.passage_max_length is 301"):
        pipeline.run(config(*rounds), Heard(), last="train_1")


def test_plans_of_what_cannot_be_reached_leave_it_open(config: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    from syneg.errors import Unreachable
    from syneg.pipeline import fingerprint

    def unreachable(*_: object) -> str:
        raise Unreachable("s3://bucket: no such bucket")

    monkeypatch.setattr(fingerprint, "of_stage", unreachable)
    given = config("train.passage_max_length=301")
    steps = pipeline.plan(given, allow_unreachable=True)
    assert {step.fingerprint for step in steps} == {None}
    assert steps[0].unreachable == "s3://bucket: no such bucket"
    with pytest.raises(Unreachable):
        pipeline.plan(given)
    with pytest.raises(BadInput, match=r"train\.batch_size"):  # it takes no storage to see this
        pipeline.plan(config("resources.train.max_workers=99"), allow_unreachable=True)


def test_nothing_is_read_of_a_model_that_no_stage_loads(config: Made) -> None:
    config.file("model/config.json", json.dumps({}))
    pipeline.run(config(), Heard(), last="corpus")
