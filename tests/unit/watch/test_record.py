"""The record of what a run depends on: kept while it runs, and beside that of a later run of the same name."""

import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from syneg import runs
from syneg.cli import app
from syneg.config.run import RunConfig
from syneg.errors import StageFailed, StoreError
from syneg.pipeline import pipeline
from syneg.pipeline.run import Run
from syneg.settings.mix import MixConfig
from syneg.store import files, folders, garbage
from syneg.store.manifest import Manifest, place
from syneg.watch import listeners, record
from tests.unit.corpus.folders import BEIR
from tests.unit.corpus.folders import write as write_corpus
from tests.unit.pipeline import test_pipeline as small
from tests.unit.pipeline.test_pipeline import config  # noqa: F401


def folder(config: RunConfig) -> str:  # noqa: F811
    return runs.folder(config.store.root, config.name)


def seen(address: str) -> record.Record:
    found = record.load(address)
    assert found is not None
    return found


def run(config: RunConfig, first: str = "make", last: str = "count") -> Run:  # noqa: F811
    heard = listeners.Everyone([small.Heard(), record.RecordWriter(config, folder(config))])
    return pipeline.run(config, heard, first, last)


@pytest.mark.parametrize("end", [StageFailed("at the second stage"), KeyboardInterrupt()])
def test_a_run_that_ends_in_the_middle_has_a_record(
    config: RunConfig,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    end: BaseException,
) -> None:
    def ends(*_: object, **__: object) -> None:
        raise end

    with monkeypatch.context() as patched:
        patched.setattr(small, "count", ends)
        with pytest.raises(type(end)):
            run(config)
    assert list(seen(record.path(folder(config))).stages) == ["make"]
    run(config)
    assert list(seen(record.path(folder(config))).stages) == ["make", "count"]
    assert record.earlier(folder(config)) == []


def test_a_run_that_does_nothing_has_no_record_and_one_that_begins_late_has_all(config: RunConfig) -> None:  # noqa: F811
    writer = record.RecordWriter(config, folder(config))
    writer.started(small.STAGES[0])
    assert not files.exists(record.path(folder(config)))
    small.run(config)
    run(config, first="count")
    assert list(seen(record.path(folder(config))).stages) == ["make", "count"]


def test_a_run_to_an_earlier_stage_forgets_no_later_one(config: RunConfig) -> None:  # noqa: F811
    run(config)
    run(config, last="make")
    assert list(seen(record.path(folder(config))).stages) == ["make", "count"]


def test_of_two_runs_of_a_name_both_stay_known(config: RunConfig) -> None:  # noqa: F811
    other = config.model_copy(update={"mix": MixConfig(seed=5)})
    first = run(config)
    second = run(other)
    (earlier,) = record.earlier(folder(config))
    for address, finished in ((earlier, first), (record.path(folder(config)), second)):
        found = seen(address)
        assert found.stages == {name: made.fingerprint for name, made in finished.manifests.items()}
        assert RunConfig.model_validate(found.config) == finished.config
    for _ in range(2):  # to and fro makes no more records than there are runs
        run(config)
        run(other)
    assert record.earlier(folder(config)) == [earlier]


def test_in_object_storage(config: RunConfig, s3_root: str) -> None:  # noqa: F811
    there = config.model_copy(update={"store": config.store.model_copy(update={"root": s3_root})})
    first = run(there)
    run(there.model_copy(update={"mix": MixConfig(seed=5)}))
    (earlier,) = record.earlier(f"{s3_root}/runs/x")
    assert runs.load(earlier).manifests == first.manifests
    assert runs.load("x", s3_root).config.mix.seed == 5
    assert garbage.find(s3_root, time.time() + 60, small.STAGES) == []


def test_a_store_that_fails_does_not_end_the_run(config: RunConfig, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "runs").write_text("a file where a folder should be")
    assert list(run(config).manifests) == ["make", "count"]


def test_a_damaged_record_is_named(config: RunConfig) -> None:  # noqa: F811
    files.put(record.path(folder(config)), b"{}")
    with pytest.raises(StoreError, match=r"run.json cannot be read as the record of a run"):
        runs.publish_record(small.run(config))


def trained(config: RunConfig, scratch: Path, weights: str, fingerprint: str) -> Run:  # noqa: F811
    nothing = {"tables": {}, "rows_in": 0, "rows_out": 0, "rejected": {}, "seconds": 1.0, "facts": {}, "settings": {}}
    made = Manifest(stage="train", fingerprint=fingerprint, folders={}, versions={}, finished="", **nothing)
    scratch.mkdir(exist_ok=True)
    (scratch / "weights").write_text(weights)
    model = folders.put(scratch, place(config.store.root, made, "model"))
    return Run(config, {"train": made.model_copy(update={"folders": {"model": model}})})


def test_the_model_in_the_folder_is_that_of_the_newest_whole_run(config: RunConfig, tmp_path: Path) -> None:  # noqa: F811
    """Two trainings give files of the same names and sizes, and the record is there before the model is."""
    target = folder(config)
    for weights, fingerprint in (("one", "1" * 16), ("two", "2" * 16), ("one", "1" * 16)):
        finished = trained(config, tmp_path / "scratch", weights, fingerprint)
        runs.publish_record(finished)
        runs._put_model(finished, target)
        runs.publish_record(finished, model=fingerprint)
        assert files.read(f"{target}/model/weights").decode() == weights
    copied = files.entry(f"{target}/model/weights").version
    runs._put_model(finished, target)
    assert files.entry(f"{target}/model/weights").version == copied


def test_the_command_says_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    write_corpus(tmp_path / "beir", BEIR)
    settings = {"name": "tiny", "corpus": {"path": str(tmp_path / "beir")}, "store": {"root": str(tmp_path / "out")}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(settings))
    runner = CliRunner()
    first = runner.invoke(app, ["run", str(tmp_path / "tiny.yaml"), "--to", "corpus"])
    assert first.exit_code == 0, first.output
    assert f"Record: {tmp_path}/out/runs/tiny/run.json. This run ends at corpus; not done: generate" in first.output
    assert "Earlier runs" not in first.output
    second = runner.invoke(app, ["run", str(tmp_path / "tiny.yaml"), "corpus.seed=7", "--to", "corpus"])
    assert "Earlier runs of this name are kept (1)" in second.output
    (earlier,) = record.earlier(f"{tmp_path}/out/runs/tiny")
    assert earlier in second.output
    compared = runner.invoke(app, ["compare", earlier, f"{tmp_path}/out/runs/tiny"])
    assert compared.exit_code == 0, compared.output
    for words in ("corpus.seed", "A ends at corpus; not done: generate", "B ends at corpus"):
        assert words in compared.output
