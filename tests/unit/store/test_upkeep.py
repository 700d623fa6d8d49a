"""`syneg gc` and `syneg verify`, over outputs of small stages."""

import json
import os
import time
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from syneg import cli, pipeline, runs, schemas
from syneg.config import RunConfig
from syneg.errors import BadInput, StoreError
from syneg.store import audit, files, garbage, manifest, parts
from syneg.store.manifest import Part
from syneg.watch import progress
from tests.unit.test_pipeline import config, run  # noqa: F401

OLD = time.time() - 30 * 86_400


def aged(root: Path) -> None:
    for path in root.rglob("*"):
        os.utime(path, (OLD, OLD))


def record(root: str, finished: pipeline.Finished) -> None:
    stages = {name: made.fingerprint for name, made in finished.manifests.items()}
    files.put(files.join(runs.folder(root, "x"), "run.json"), json.dumps({"stages": stages}).encode())


def found(root: Path, days: float = 7) -> dict[str, tuple[str, int]]:
    garbages = garbage.find(str(root), time.time() - days * 86_400)
    return {item.output.split("/")[0]: (item.why, len(item.objects)) for item in garbages}


def test_gc_spares_what_a_run_names_and_what_is_young(config: RunConfig, tmp_path: Path) -> None:  # noqa: F811
    finished = run(config)
    assert found(tmp_path) == {}  # all young
    aged(tmp_path)
    assert found(tmp_path) == {"make": ("no run names it", 3), "count": ("no run names it", 2)}
    record(str(tmp_path), finished)
    assert found(tmp_path) == {}
    make = manifest.output_folder(str(tmp_path), "make", finished.manifests["make"].fingerprint)
    parts.put(finished_rows("left"), make, "queries")
    assert found(tmp_path) == {}  # it may be a live run's
    aged(tmp_path)
    assert found(tmp_path) == {"make": ("its manifest does not list them", 1)}


def test_gc_spares_what_an_evaluation_names(config: RunConfig, tmp_path: Path) -> None:  # noqa: F811
    finished = run(config)
    outputs = [f"{made.stage}/{made.fingerprint}" for made in finished.manifests.values()]
    content = json.dumps({"outputs": outputs[:1]}).encode()
    files.put(files.join(str(tmp_path), "evaluations", "x", "evaluation.json"), content)
    aged(tmp_path)
    assert found(tmp_path) == {"count": ("no run names it", 2)}


def finished_rows(name: str) -> pa.Table:
    return pa.table([[name], ["text"], ["train"]], schema=schemas.QUERIES)


def test_gc_judges_an_unfinished_output_by_its_youngest_part(config: RunConfig, tmp_path: Path) -> None:  # noqa: F811
    folder = manifest.output_folder(str(tmp_path), "generate", "0123456789abcdef")
    first = parts.put(finished_rows("first"), folder, "queries")
    aged(tmp_path)
    second = parts.put(finished_rows("second"), folder, "queries")
    assert found(tmp_path) == {}
    aged(tmp_path)
    assert found(tmp_path) == {"generate": ("it was not finished", 2)}
    (item,) = garbage.find(str(tmp_path), time.time())
    garbage.remove(str(tmp_path), item)
    assert not files.exists(f"{folder}/queries/{first.name}")
    assert not files.exists(f"{folder}/queries/{second.name}")


def test_the_command_lists_then_deletes_but_not_beside_a_live_run(config: RunConfig, tmp_path: Path) -> None:  # noqa: F811
    run(config)
    aged(tmp_path)
    beat = progress.RunProgress(run="y", began=time.time(), updated=time.time(), beat_seconds=5)
    files.put(progress.path(runs.folder(str(tmp_path), "y")), beat.model_dump_json().encode())
    runner = CliRunner()
    listed = runner.invoke(cli.app, ["gc", str(tmp_path)])
    assert "5 objects" in listed.output
    refused = runner.invoke(cli.app, ["gc", str(tmp_path), "--delete"])
    assert isinstance(refused.exception, BadInput)
    assert "y is running" in str(refused.exception)
    assert pipeline.plan(config)[0].done
    files.put(
        progress.path(runs.folder(str(tmp_path), "y")),
        beat.model_copy(update={"updated": OLD}).model_dump_json().encode(),
    )
    assert "Removed 5 objects" in runner.invoke(cli.app, ["gc", str(tmp_path), "--delete"]).output
    assert not any(step.done for step in pipeline.plan(config))
    assert isinstance(runner.invoke(cli.app, ["gc", str(tmp_path / "none")]).exception, BadInput)


def test_what_is_whole_is_found_true(config: RunConfig) -> None:  # noqa: F811
    finished = run(config)
    made = audit.check(config.store.root, finished.manifests["make"])
    assert (made.parts, made.rows) == (2, 2)


@pytest.mark.parametrize("untruth", ["part", "model", "rows", "checksum", "keys", "ledger", "schema"])
def test_every_untruth_is_found(config: RunConfig, untruth: str) -> None:  # noqa: F811
    root = config.store.root
    made = run(config, last="make").manifests["make"]
    folder = manifest.output_folder(root, "make", made.fingerprint)
    (part,) = made.tables["queries"]
    if untruth == "part":
        files.put(f"{folder}/queries/{part.name}", b"")
    elif untruth == "model":
        files.put(files.join(manifest.place(root, made, "model"), "config.json"), b"[]")
    elif untruth == "ledger":
        made = made.model_copy(update={"rows_in": 3})
    else:
        made = made.model_copy(update={"tables": {"queries": lies(folder, part, untruth)}})
    with pytest.raises(StoreError):
        audit.check(root, made)


def lies(folder: str, part: Part, untruth: str) -> list[Part]:
    if untruth == "rows":
        return [part.model_copy(update={"rows": 7})]
    if untruth == "keys":
        again = parts.put(pa.table([["q1"], ["other"], ["dev"]], schema=schemas.QUERIES), folder, "queries")
        return [part, again]
    other = pa.table([["q", "r"], ["p", "p"], pa.array([1, 1], pa.int32())], schema=schemas.QRELS)
    if untruth == "checksum":
        return [part.model_copy(update={"sha256": part.sha256[::-1]})]
    wrong = parts.put(other, folder, "qrels")
    files.put(f"{folder}/queries/{wrong.name}", files.read(f"{folder}/qrels/{wrong.name}"))
    return [wrong]
