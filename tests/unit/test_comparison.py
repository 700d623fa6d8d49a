"""Two stored runs: what differs is found, and nothing else is called different."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from syneg import comparison, runs, schemas
from syneg.cli import app
from syneg.config import overrides
from tests.unit import stored_run

BASE = overrides.load("configs/demo.yaml")
OTHER = overrides.load("configs/demo.yaml", ["name=other", "mix.strategy=direct", "resources.train.cpus=1"])
QUERIES = 80


def scores(gain: float, first: int = 0) -> pa.Table:
    draw = np.random.default_rng(0)
    base = draw.uniform(0.2, 0.8, QUERIES)
    tuned = base + gain + draw.normal(0, 0.05, QUERIES)
    rows = [
        {"system": system, "measure": "nDCG@10", "query_id": f"q{first + query}", "value": float(values[query])}
        for system, values in (("base", base), ("tuned", tuned))
        for query in range(QUERIES)
    ]
    return pa.Table.from_pylist(rows, schema=schemas.SCORES)


def compared(root: Path, a: pa.Table, b: pa.Table) -> comparison.Comparison:
    rejected = {"mix": {"too_few_synthetic": 3}}
    first = stored_run.write(root, BASE, {"evaluate.scores": a})
    second = stored_run.write(root, OTHER, {"evaluate.scores": b}, rejected=rejected)
    return comparison.compare(runs.load(first), runs.load(second))


def test_only_what_changes_rows_is_a_setting(tmp_path: Path) -> None:
    found = compared(tmp_path, scores(0.0), scores(0.0))
    assert found.settings == [comparison.Change("mix.strategy", "hybrid", "direct")]


def test_a_file_of_the_same_content_elsewhere_is_no_other_setting(tmp_path: Path) -> None:
    lists = Path("configs/attributes/stdlib.yaml").read_text(encoding="utf-8")
    for name, content in (("same", lists), ("other", f"{lists}# edited\n")):
        (tmp_path / f"{name}.yaml").write_text(content, encoding="utf-8")
        moved = overrides.load("configs/demo.yaml", [f"name={name}", f"generate.attributes={tmp_path}/{name}.yaml"])
        stored_run.write(tmp_path, moved, {}, last="mix")
    base = runs.load(stored_run.write(tmp_path, BASE, {}, last="mix"))
    same, other = (runs.load(name, str(tmp_path)) for name in ("same", "other"))
    assert comparison.compare(base, same).settings == []
    assert [change.key for change in comparison.compare(base, other).settings] == ["generate.attributes"]


def test_each_stage_with_its_nearest_cause(tmp_path: Path) -> None:
    found = compared(tmp_path, scores(0.0), scores(0.0))
    causes = {change.stage: change.cause for change in found.stages}
    assert causes.pop("mix") == "settings"
    after = [causes.pop(stage) for stage in ("probe", "train", "embed_tuned", "evaluate", "report")]
    assert after == ["inputs"] * 5
    assert set(causes.values()) == {"same"}
    assert found.same_questions
    (mix,) = [change for change in found.stages if change.stage == "mix"]
    assert mix.rejected == (comparison.Change("too_few_synthetic", None, 3),)


def test_another_version_of_a_stage_is_told_from_settings_and_inputs(tmp_path: Path) -> None:
    run = runs.load(stored_run.write(tmp_path, BASE, {}))
    newer = dict(run.manifests)
    newer["mine"] = newer["mine"].model_copy(update={"fingerprint": "0" * 16})
    newer["mix"] = newer["mix"].model_copy(update={"fingerprint": "1" * 16})
    newer["train"] = newer["train"].model_copy(update={"fingerprint": "2" * 16})
    reads = {"mix": frozenset({"gate", "mine"}), "train": frozenset({"corpus"})}
    changes = comparison.stage_changes(run.manifests, newer, dict.fromkeys(run.manifests, frozenset[str]()) | reads)
    found = {change.stage: change.cause for change in changes}
    # What changed before it in time, and is not what it reads, is no cause of train's change.
    assert (found["mine"], found["mix"], found["train"], found["probe"]) == ("version", "inputs", "version", "same")


def test_a_planted_gain_is_found_and_identical_scores_are_not(tmp_path: Path) -> None:
    base, tuned = compared(tmp_path, scores(0.0), scores(0.1)).scores
    assert base.difference is not None
    assert tuned.difference is not None
    assert (base.difference.difference, base.difference.p) == (0, 1)
    assert tuned.difference.p < 0.001
    assert tuned.difference.difference == pytest.approx(0.1)
    assert tuned.mean_b - tuned.mean_a == pytest.approx(0.1)


def test_the_test_is_over_shared_queries_only(tmp_path: Path) -> None:
    half = compared(tmp_path / "half", scores(0.0), scores(0.0, first=QUERIES // 2)).scores
    assert [change.difference.queries for change in half if change.difference] == [40, 40]
    for change in half:
        assert change.difference is not None
        assert change.mean_b - change.mean_a == pytest.approx(change.difference.difference)
    none = compared(tmp_path / "none", scores(0.0), scores(0.0, first=QUERIES)).scores
    assert [change.difference for change in none] == [None, None]


def test_a_run_that_ended_early_is_compared_as_far_as_it_goes(tmp_path: Path) -> None:
    stored_run.write(tmp_path, BASE, {"evaluate.scores": scores(0.0)})
    stored_run.write(tmp_path, OTHER, {}, last="mix")
    done = CliRunner().invoke(app, ["compare", "demo", "other", "--root", str(tmp_path)], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    assert "B ends at mix; not done: probe, train, embed_tuned, evaluate, report." in done.output
    assert "A ends" not in done.output
    assert "its settings differ" in done.output
    assert "no scores of the same system" in done.output


def test_the_command(tmp_path: Path) -> None:
    compared(tmp_path, scores(0.0), scores(0.1))
    done = CliRunner().invoke(app, ["compare", "demo", "other", "--root", str(tmp_path)], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    for words in ("mix.strategy", "its settings differ", "too_few_synthetic 0 → 3", "+10.0", "< 0.001"):
        assert words in done.output
