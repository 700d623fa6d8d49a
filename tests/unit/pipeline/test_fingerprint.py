"""What enters a fingerprint, and what must not."""

from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import pytest

from syneg.config import run as settings
from syneg.config.run import RunConfig
from syneg.errors import BadInput
from syneg.pipeline import pipeline
from syneg.pipeline.graph import names
from syneg.settings import generate
from syneg.settings.section import Circumstance, Content, Section


def resolved(**changes: Any) -> RunConfig:
    tree: dict[str, Any] = {"name": "x", "corpus": {"source": "stdlib"}}
    for key, value in changes.items():
        section, _, name = key.partition("__")
        tree[section] = value if not name else {**tree.get(section, {}), name: value}
    return RunConfig.model_validate(tree)


def marks(config: RunConfig) -> dict[str, str | None]:
    return {step.stage.name: step.fingerprint for step in pipeline.plan(config)}


def changed(config: RunConfig, base: RunConfig | None = None) -> set[str]:
    before, after = marks(base or resolved()), marks(config)
    return {stage for stage in before if before[stage] != after[stage]}


@pytest.fixture(autouse=True)
def _empty_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    monkeypatch.setenv("SYNEG_CACHE", str(tmp_path / "cache"))


def test_where_and_how_wide_never_enter() -> None:
    elsewhere = resolved(
        name="other", store={"root": "/tmp/elsewhere"}, resources={"cpus": 1, "train": {"cpus": 2.0, "max_workers": 2}}
    )
    assert changed(elsewhere) == set()


def test_where_an_endpoint_stands_and_what_may_fail_never_enter() -> None:
    def asking(engine: dict[str, Any], **limits: float) -> RunConfig:
        asked = {"kind": "openai", "model": "m", **engine}
        judge = {"enabled": True, "engine": asked, **limits}
        return resolved(generate={"engine": asked, **limits}, judge=judge, judge_mined={"enabled": True})

    moved = {"base_url": "http://10.0.0.7:8001/v1", "api_key_env": "OTHER_KEY", "limits": {"max_in_flight": 1}}
    assert changed(asking(moved, max_error_rate=0.5), asking({})) == set()
    told_apart = changed(asking({"provider": "another"}), asking({}))
    assert {"generate", "judge", "judge_mined", "train"} <= told_apart
    assert not told_apart & {"corpus", "embed", "mine"}


def test_these_fields_and_no_others_decide_no_row_of_a_section_that_does() -> None:
    sections = [generate.OpenaiEngine(kind="openai", model="m"), *vars(resolved(corpus__source="stdlib")).values()]
    found = {f"{type(section).__name__}.{name}" for section in sections for name in circumstances(section)}
    assert found == {
        "OpenaiEngine.base_url",
        "OpenaiEngine.api_key_env",
        "GenerateConfig.max_error_rate",
        "JudgeConfig.max_error_rate",
        "MineConfig.ivf",  # of an exact search
        "MineConfig.simans",  # without this sampler
    }


def circumstances(section: Any) -> set[str]:
    return section.circumstances() if isinstance(section, Section) else set()


NAMES = set(names(resolved()))


@pytest.mark.parametrize(
    ("setting", "value", "same"),
    [
        ("train__learning_rate", 1.0e-3, {"corpus", "generate", "judge", "gate", "embed", "mine", "mix", "probe"}),
        ("generate__seed", 1, {"corpus", "embed", "mine"}),
        ("gate__min_words", 1, {"corpus", "generate", "judge", "embed", "mine"}),
        ("encoder__query_max_length", 7, {"corpus", "generate", "judge"}),
        ("bm25__k1", 1.2, {"corpus", "generate", "judge", "gate", "embed"}),
        ("evaluate__depth", 500, NAMES - {"evaluate", "report"}),
        ("probe__sample", 50, NAMES - {"probe"}),
        ("mix__retrieved_per_instance", 5, {"corpus", "generate", "judge", "gate", "embed", "mine"}),
        ("corpus__max_queries", 5, set()),
        ("mine__ivf", {"probes": 5}, NAMES),
        ("mine__simans", {"a": 5.0}, NAMES),
        ("train__dev", {"depth": 9}, NAMES),
    ],
)
def test_a_setting_reruns_just_what_depends_on_it(setting: str, value: Any, same: set[str]) -> None:
    tree = {"corpus__source": "stdlib", setting: value}
    assert changed(resolved(**tree)) == set(marks(resolved())) - same


def test_what_is_switched_on_is_covered() -> None:
    searched = [resolved(mine={"index": "ivf", "ivf": {"probes": probes}}) for probes in (5, 6)]
    drawn = [resolved(mine={"samplers": {"simans": {}}, "simans": {"a": a}}) for a in (5.0, 6.0)]
    watched = [resolved(train={"dev": {"every": 5, "depth": depth}}) for depth in (8, 9)]
    for stage, pair in (("mine", searched), ("mine", drawn), ("train", watched)):
        one, other = (marks(config)[stage] for config in pair)
        assert one != other


def test_files_and_models_enter_by_their_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def beir(folder: Path, text: str) -> str:
        (folder / "qrels").mkdir(parents=True)
        (folder / "corpus.jsonl").write_text('{"_id": "p", "title": "", "text": "%s"}\n' % text)  # noqa: UP031
        (folder / "queries.jsonl").write_text('{"_id": "q", "text": "t"}\n')
        for split in ("train", "test"):
            (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\nq\tp\t1\n")
        return str(folder)

    paths = [beir(tmp_path / name, text) for name, text in (("a", "same"), ("b", "same"), ("c", "other"))]
    first, copy, other = (marks(resolved(corpus={"source": "beir", "path": path}))["corpus"] for path in paths)
    assert first == copy != other
    monkeypatch.setenv("HOME", str(tmp_path))
    assert marks(resolved(corpus={"source": "beir", "path": "~/a"}))["corpus"] == first


def test_a_missing_attributes_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"generate\.attributes: there is no file"):
        marks(resolved(generate__attributes=str(tmp_path / "none.yaml")))


def test_a_missing_model_is_named() -> None:
    with pytest.raises(BadInput, match=r"encoder\.model: no model at"):
        marks(resolved(encoder__model="/nowhere/model"))
    with pytest.raises(BadInput, match="not installed"):
        marks(resolved(encoder__model="package:no_such_package/model"))


def test_every_mark_is_where_the_fingerprint_looks_for_it() -> None:
    """`Annotated[str, Content(...)] | None` hides the mark inside the union, where pydantic does not collect it."""

    def hidden(annotation: Any) -> bool:
        inner = get_args(annotation)[1:] if hasattr(annotation, "__metadata__") else ()
        arguments = get_args(annotation)[:1] if hasattr(annotation, "__metadata__") else get_args(annotation)
        found = any(isinstance(mark, Content | Circumstance) for mark in inner)
        return found or any(hidden(argument) for argument in arguments)

    sections = [kind for kind in vars(settings).values() if isinstance(kind, type) and issubclass(kind, Section)]
    for section in sections:
        for name, annotation in get_type_hints(section, include_extras=True).items():
            if name in section.model_fields and hidden(annotation):
                marked = any(isinstance(mark, Content | Circumstance) for mark in section.model_fields[name].metadata)
                assert marked, f"{section.__name__}.{name}"


def test_the_check_above_can_fail() -> None:
    class Hidden(Section):
        path: Annotated[str, Content("text")] | None = None

    assert not Hidden.model_fields["path"].metadata
