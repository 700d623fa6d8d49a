"""Finding a run again, whole or not, and exporting and verifying it by the commands."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from syneg import runs
from syneg.cli import app
from syneg.config import overrides
from syneg.errors import BadInput, StoreError
from syneg.watch import record
from tests.unit import stored_run
from tests.unit.export import test_trec
from tests.unit.export.test_instances import SOURCE

CONFIG = overrides.load("configs/demo.yaml", ["encoder.query_prompt='find: '"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    stored_run.write(tmp_path / "out", CONFIG, {"mix.instances": SOURCE.rows})
    return tmp_path / "out"


def test_by_folder_by_name_and_after_a_move(root: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(root, tmp_path / "elsewhere"))
    for run, under in ((f"{root}/runs/demo", "none"), ("demo", str(root)), (f"{moved}/runs/demo/", "none")):
        finished = runs.load(run, under)
        assert finished.config.model_copy(update={"store": CONFIG.store}) == CONFIG
        assert finished.table("mix", "instances").table() == SOURCE.rows


def test_from_within_its_own_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root / "runs")
    for run in ("demo", "./demo", "../runs/demo"):
        assert runs.load(run).table("mix", "instances").table() == SOURCE.rows


def test_an_earlier_run_by_its_record(root: Path) -> None:
    other = CONFIG.model_copy(update={"mix": CONFIG.mix.model_copy(update={"strategy": "direct"})})
    folder = stored_run.write(root, other, {})
    (earlier,) = record.earlier(folder)
    assert runs.load(folder).config.mix.strategy == "direct"
    assert runs.load(earlier).config.mix.strategy == "hybrid"
    assert runs.load(earlier).table("mix", "instances").table() == SOURCE.rows


def test_no_such_run(root: Path) -> None:
    with pytest.raises(BadInput, match=rf"no run 'other': found no other/run.json and no {root}/runs/other/run.json"):
        runs.load("other", str(root))
    with pytest.raises(BadInput, match=r"found no /nowhere/demo/run.json\. Give"):  # a path is no name
        runs.load("/nowhere/demo", str(root))


def test_a_run_whose_output_was_removed(root: Path) -> None:
    shutil.rmtree(root / "mix")
    with pytest.raises(BadInput, match="the output of mix is no longer"):
        runs.load("demo", str(root))


def test_a_run_of_another_version(root: Path) -> None:
    path = root / "runs" / "demo" / "run.json"
    written = json.loads(path.read_text())
    written["config"]["mix"]["flavour"] = "sweet"
    path.write_text(json.dumps(written))
    with pytest.raises(BadInput, match=r"not one of this version of syneg(.|\n)*flavour"):
        runs.load("demo", str(root))


def test_export_by_the_command(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "exported"
    command = ["export", f"{root}/runs/demo", str(out), "--format", "flagembedding"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "3 instances with 2 negatives each" in done.output
    lines = (out / "train.jsonl").read_text(encoding="utf-8").split("\n")
    assert [json.loads(line)["prompt"] for line in lines if line] == ["find: "] * 3
    again = CliRunner().invoke(app, command)
    assert isinstance(again.exception, BadInput)


@pytest.fixture
def mined(tmp_path: Path) -> Path:
    """A run `--to mine`, its candidates those of the TREC export's tests."""
    tables = test_trec.tables()
    made = {f"corpus.{name}": tables[name].rows for name in ("queries", "qrels")}
    stored_run.write(tmp_path / "out", CONFIG, made | {"mine.candidates": tables["candidates"].rows}, last="mine")
    return tmp_path / "out"


def test_a_run_that_ends_at_mine_is_exported_as_far_as_it_goes(mined: Path, tmp_path: Path) -> None:
    given = ["export", "demo", str(tmp_path / "exported"), "--root", str(mined), "--format"]
    refused = CliRunner().invoke(app, [*given, "tevatron"]).exception
    assert isinstance(refused, BadInput)
    assert "ends at mine; syneg export needs mix: run `syneg run CONFIG --to mix`" in str(refused)
    done = CliRunner().invoke(app, [*given, "trec"])
    assert done.exit_code == 0, done.output
    assert "evaluate is not done, so there are no runs" in " ".join(done.output.split())
    written = {path.relative_to(tmp_path / "exported").as_posix() for path in (tmp_path / "exported").rglob("*.*")}
    assert written == {"candidates/bm25.trec", "candidates/random.trec", "qrels.test", "qrels.train"}


def test_a_run_without_a_ranking_is_not_exported_as_trec(tmp_path: Path) -> None:
    folder = stored_run.write(tmp_path / "out", CONFIG, {}, last="embed")
    refused = CliRunner().invoke(app, ["export", folder, str(tmp_path / "exported"), "--format", "trec"]).exception
    assert isinstance(refused, BadInput)
    assert "ends at embed; syneg export --format trec needs mine" in str(refused)
    assert not (tmp_path / "exported").exists()


def test_verify_takes_a_folder_or_a_name_and_reads_what_is_done(mined: Path) -> None:
    for run in (["demo", "--root", str(mined)], [f"{mined}/runs/demo"]):
        done = CliRunner().invoke(app, ["verify", *run])
        assert done.exit_code == 0, done.output
        words = " ".join(done.output.split())
        assert "This run ends at mine; not done: mix, probe, train, embed_tuned, evaluate, report." in words
    missing = CliRunner().invoke(app, ["verify", str(mined / "none")]).exception
    assert isinstance(missing, BadInput)
    assert f"found no {mined}/none/run.json. Give" in str(missing)


def test_verify_names_every_untrue_stage(mined: Path) -> None:
    for name in ("corpus/*/qrels", "mine/*/candidates"):
        (part,) = mined.glob(f"{name}/*.parquet")
        part.write_bytes(b"")
    done = CliRunner().invoke(app, ["verify", "demo", "--root", str(mined)])
    assert isinstance(done.exception, StoreError)
    untrue = [line.split()[1] for line in done.output.splitlines() if "untrue" in line]
    assert untrue == ["corpus", "mine"]
    assert "/qrels/" in str(done.exception)
    assert "/candidates/" in str(done.exception)
    assert "embed" in done.output  # which stands between them


def test_the_other_layout_is_found_where_nothing_else_differs(tmp_path: Path) -> None:
    root = tmp_path / "out"
    rates = {"published": 80.0, "prefix_first": 90.0}
    finished = {}
    for layout, rate in rates.items():
        for seed in ("0", "1") if layout == "published" else ("0",):
            config = overrides.load("configs/demo.yaml", [f"generate.layout={layout}", f"generate.seed={seed}"])
            named = config.model_copy(update={"name": f"{layout}-{seed}"})
            folder = stored_run.write(root, named, {}, {"gate": {"output_tokens_per_second": rate}})
            finished[layout, seed] = runs.load(folder)

    def found(layout: str, seed: str) -> dict[str, float]:
        by_layout = runs.by_layout(finished[layout, seed])
        return {name: facts["output_tokens_per_second"] for name, facts in by_layout.items()}

    assert found("published", "0") == found("prefix_first", "0") == rates
    assert found("published", "1") == {"published": 80.0}
