"""A run whose inputs and whose root lie in object storage gives what it gives on a disk."""

from pathlib import Path

import pytest

from syneg.config.run import RunConfig
from syneg.pipeline import pipeline
from syneg.store import audit, files, folders, manifest
from tests.unit.corpus.folders import BEIR, write
from tests.unit.pipeline.test_pipeline import STAGES, Heard, config, run  # noqa: F401


def on(config: RunConfig, root: str) -> RunConfig:  # noqa: F811
    return config.model_copy(update={"store": config.store.model_copy(update={"root": root})})


def test_a_run_is_made_reused_and_true(config: RunConfig, s3_root: str) -> None:  # noqa: F811
    there, here = on(config, s3_root), config
    made = run(there)
    assert [step.done for step in pipeline.plan(there)] == [True, True]
    assert run(there).reused == {"make", "count"}
    on_disk = run(here)
    for name, record in made.manifests.items():
        assert record.tables == on_disk.manifests[name].tables  # byte for byte
        audit.check(s3_root, record)


def test_of_two_drivers_one_goes_on(config: RunConfig, s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    config = on(config, s3_root)
    (step, _) = pipeline.plan(config)
    monkeypatch.setattr(pipeline, "look", lambda config, **_: [pipeline.Step(STAGES[0], step.fingerprint, None)])
    load = manifest.load
    monkeypatch.setattr(manifest, "load", lambda *_: None)  # both began before either had finished
    run(config, last="make")
    monkeypatch.setattr(manifest, "load", lambda *of, answers=[None]: answers.pop() if answers else load(*of))
    ours = pipeline.run(config, Heard(), "make", "make").manifests["make"]
    record = load(s3_root, "make", str(step.fingerprint))
    assert record is not None
    assert record == ours
    audit.check(s3_root, record)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_corpus_is_read_and_known_by_its_content(s3_root: str, tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "beir"
    write(folder, {name + suffix: content for name, content in BEIR.items()})
    folders.put(folder, f"{s3_root}/beir")
    places = [(f"{s3_root}/root", f"{s3_root}/beir"), (str(tmp_path / "root"), str(folder))]
    given = [{"name": "x", "store": {"root": root}, "corpus": {"path": path}} for root, path in places]
    there, here = (
        pipeline.run(RunConfig.model_validate(each), Heard(), last="corpus").manifests["corpus"] for each in given
    )
    assert there.fingerprint == here.fingerprint
    assert there.tables == here.tables
    assert files.exists(f"{s3_root}/root/corpus")
