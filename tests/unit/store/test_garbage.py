"""What `syneg gc` takes for garbage, over outputs of small stages, and what it never touches."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from syneg import cli, runs, schemas
from syneg.config import overrides
from syneg.config.run import RunConfig
from syneg.errors import BadInput, StoreError
from syneg.pipeline import pipeline
from syneg.pipeline.stages import ONE_ROUND
from syneg.settings.mix import MixConfig
from syneg.stage import Stage
from syneg.store import disk, files, garbage, manifest, parts
from syneg.watch import progress, record
from tests.unit import stored_run
from tests.unit.pipeline.test_pipeline import STAGES, config, run  # noqa: F401

OLD = time.time() - 30 * 86_400
WRITING = (*STAGES, Stage("generate", "none:none", 1, writes=("queries",)))
MARK = "0123456789abcdef"


def aged(root: Path) -> None:
    for path in root.rglob("*"):
        os.utime(path, (OLD, OLD))


def found(root: Path, days: float = 7, stages: tuple[Stage, ...] = WRITING) -> dict[str, tuple[str, int]]:
    garbages = garbage.find(str(root), time.time() - days * 86_400, stages)
    return {item.output.split("/")[0]: (item.why, len(item.objects)) for item in garbages}


def finished_rows(name: str) -> pa.Table:
    return pa.table([[name], ["text"], ["train"]], schema=schemas.QUERIES)


def test_gc_spares_what_a_run_names_and_what_is_young(config: RunConfig, tmp_path: Path) -> None:  # noqa: F811
    finished = run(config)
    assert found(tmp_path) == {}  # all young
    aged(tmp_path)
    assert found(tmp_path) == {"make": ("no run names it", 3), "count": ("no run names it", 2)}
    runs.publish_record(finished)
    assert found(tmp_path) == {}
    make = manifest.output_folder(str(tmp_path), "make", finished.manifests["make"].fingerprint)
    parts.put(finished_rows("left"), make, "queries")
    assert found(tmp_path) == {}  # it may be a live run's
    aged(tmp_path)
    assert found(tmp_path) == {"make": ("its manifest does not list them", 1)}


def test_gc_spares_what_an_earlier_run_of_the_same_name_stands_on(config: RunConfig, tmp_path: Path) -> None:  # noqa: F811
    for seed in (0, 5):
        runs.publish_record(run(config.model_copy(update={"mix": MixConfig(seed=seed)})))
    aged(tmp_path)
    assert found(tmp_path) == {}
    (earlier,) = record.earlier(runs.folder(str(tmp_path), "x"))
    files.delete(earlier)  # so a run is let go
    assert found(tmp_path) == {"count": ("no run names it", 2)}


def test_gc_spares_the_finished_stages_of_a_run_that_ended_early(config: RunConfig, tmp_path: Path) -> None:  # noqa: F811
    runs.publish_record(run(config, last="make"))
    aged(tmp_path)
    assert found(tmp_path) == {}


def test_gc_spares_what_an_evaluation_names(config: RunConfig, tmp_path: Path) -> None:  # noqa: F811
    finished = run(config)
    outputs = [f"{made.stage}/{made.fingerprint}" for made in finished.manifests.values()]
    content = json.dumps({"outputs": outputs[:1]}).encode()
    files.put(files.join(str(tmp_path), "evaluations", "x", "evaluation.json"), content)
    aged(tmp_path)
    assert found(tmp_path) == {"count": ("no run names it", 2)}


def test_gc_judges_an_unfinished_output_by_its_youngest_part(tmp_path: Path) -> None:
    folder = manifest.output_folder(str(tmp_path), "generate", MARK)
    first = parts.put(finished_rows("first"), folder, "queries")
    aged(tmp_path)
    second = parts.put(finished_rows("second"), folder, "queries")
    assert found(tmp_path) == {}
    aged(tmp_path)
    assert found(tmp_path) == {"generate": ("it was not finished", 2)}
    (item,) = garbage.find(str(tmp_path), time.time(), WRITING)
    garbage.remove(str(tmp_path), item)
    assert not files.exists(f"{folder}/queries/{first.name}")
    assert not files.exists(f"{folder}/queries/{second.name}")


def test_gc_knows_every_path_that_a_stage_writes_in_any_round(tmp_path: Path) -> None:
    for name in (
        "train_2/MARK/attempt/step-1/whole.json",
        "train_2/MARK/model-89abcdef/1_Pooling/config.json",
        "train_2/MARK/model/config.json",  # as versions before wrote it
        f"train_2/MARK/metrics/part-{2 * MARK}.parquet",
    ):
        files.put(f"{tmp_path}/{name.replace('MARK', MARK)}", b"{}")
    aged(tmp_path)
    assert found(tmp_path, stages=ONE_ROUND) == {"train_2": ("it was not finished", 4)}


def test_gc_finds_what_a_killed_put_left(config: RunConfig, tmp_path: Path) -> None:  # noqa: F811
    finished = run(config)
    runs.publish_record(finished)
    make = Path(manifest.output_folder(str(tmp_path), "make", finished.manifests["make"].fingerprint))
    left = [
        make / "queries" / f".part-{2 * MARK}.parquet.{2 * MARK}.tmp",
        make / "model-01234567" / "1_Pooling" / f".config.json.{2 * MARK}.tmp",
        tmp_path / "generate" / MARK / "queries" / f".part-{2 * MARK}.parquet.{2 * MARK}.tmp",
    ]
    others = [make / "queries" / ".notes.tmp", make / f".notes.{2 * MARK}.tmp", tmp_path / f".x.{2 * MARK}.tmp"]
    for path in (*left, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    assert found(tmp_path) == {}  # a live run may be writing them
    aged(tmp_path)
    assert found(tmp_path) == {"make": ("its manifest does not list them", 2), "generate": ("it was not finished", 1)}
    for item in garbage.find(str(tmp_path), time.time(), WRITING):
        garbage.remove(str(tmp_path), item)
    assert [path.exists() for path in (*left, *others)] == [False] * 3 + [True] * 3
    assert run(config).reused == {"make", "count"}


STRANGERS = (
    f"photos/{MARK}/cat.jpg",  # no stage
    f"photos/{MARK}/manifest.json",
    f"mine/{MARK}/cat.jpg",  # no object that a stage writes
    f"mine/{MARK}/notes/part-{2 * MARK}.parquet",
    f"mine/{MARK}/candidates/part-1.parquet",
    "mine/notes/manifest.json",
    f"deep/mine/{MARK}/manifest.json",
)


@pytest.mark.parametrize("stored", [False, True])
def test_the_file_of_a_stranger_is_never_removed(tmp_path: Path, stored: bool) -> None:
    for name in STRANGERS:
        files.put(f"{tmp_path}/{name}", b"{}")
    if stored:
        folder = stored_run.write(tmp_path, overrides.load("configs/demo.yaml"), {}, last="corpus")
        files.put(f"{next((tmp_path / 'corpus').iterdir())}/notes.txt", b"mine")
        files.delete(record.path(folder))
    aged(tmp_path)
    done = CliRunner().invoke(cli.app, ["gc", str(tmp_path), "--delete"])
    left = {name for name, _ in files.files_below(str(tmp_path))}
    assert left >= set(STRANGERS)
    if stored:
        assert done.exit_code == 0, done.output
        assert {Path(name).name for name in left.difference(STRANGERS)} == {"notes.txt"}
    else:
        assert isinstance(done.exception, BadInput)
        assert "There is no store of syneg here" in str(done.exception)


def test_the_command_lists_then_deletes_but_not_beside_a_live_run(tmp_path: Path) -> None:
    config = overrides.load("configs/demo.yaml", [f"store.root={tmp_path}"])  # noqa: F811
    folder = stored_run.write(tmp_path, config, {}, last="gate")
    files.delete(record.path(folder))
    aged(tmp_path)
    beat = progress.RunProgress(run="y", began=time.time(), updated=time.time(), beat_seconds=5)
    files.put(progress.path(runs.folder(str(tmp_path), "y")), beat.model_dump_json().encode())
    runner = CliRunner()
    listed = runner.invoke(cli.app, ["gc", str(tmp_path)])
    assert "3 objects" in listed.output
    refused = runner.invoke(cli.app, ["gc", str(tmp_path), "--delete"])
    assert isinstance(refused.exception, BadInput)
    assert "y is running" in str(refused.exception)
    assert pipeline.plan(config)[0].done
    files.put(
        progress.path(runs.folder(str(tmp_path), "y")),
        beat.model_copy(update={"updated": OLD}).model_dump_json().encode(),
    )
    assert "Removed 3 objects" in runner.invoke(cli.app, ["gc", str(tmp_path), "--delete"]).output
    assert not any(step.done for step in pipeline.plan(config))


def test_what_cannot_be_looked_through_is_refused(config: RunConfig, tmp_path: Path) -> None:  # noqa: F811
    runner = CliRunner()
    nothing = runner.invoke(cli.app, ["gc", str(tmp_path / "none")]).exception
    assert isinstance(nothing, BadInput)
    assert "There is nothing at" in str(nothing)
    negative = runner.invoke(cli.app, ["gc", str(tmp_path), "--older-than", "-1"])
    assert negative.exit_code == 2
    runs.publish_record(run(config))
    files.put(record.path(runs.folder(str(tmp_path), "x")), b"{")
    with pytest.raises(StoreError, match=r"run.json cannot be read as a record"):
        found(tmp_path)


@pytest.mark.parametrize("at", ["listing", "file"])
def test_what_may_not_be_read_is_said_in_a_sentence(
    config: RunConfig,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
) -> None:
    """Tests may run as a user who may read all, so the refusals of the system are played."""
    run(config)
    refusal = PermissionError(13, "Permission denied", f"{tmp_path}/secret")

    def walk(root: str, onerror: Callable[[OSError], None]) -> Iterator[None]:
        onerror(refusal)
        yield

    def entries_below(folder: str) -> Iterator[None]:
        raise refusal

    if at == "listing":
        monkeypatch.setattr(garbage.os, "walk", walk)
    else:
        monkeypatch.setattr(disk, "entries_below", entries_below)
    with pytest.raises(BadInput, match=r"secret may not be read \(Permission denied\)"):
        found(tmp_path)
