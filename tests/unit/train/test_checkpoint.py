import shutil
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from syneg import schemas
from syneg.train.checkpoint import Checkpoint, Checkpoints, Progress


def _metrics(*steps: int) -> dict[str, pa.Table]:
    rows = [
        {"step": step, "epoch": 0.1, "loss": 1.0, "learning_rate": 0.1, "gradient_norm": 1.0, "queries_per_second": 2.0}
        for step in steps
    ]
    return {
        "metrics": pa.Table.from_pylist(rows, schemas.METRICS),
        "similarities": schemas.SIMILARITIES.empty_table(),
    }


def _checkpoint(step: int, best: bool = False) -> Checkpoint:
    weights = {"layer.weight": torch.full((2, 3), float(step))}
    return Checkpoint(
        Progress(step, 0.1, 0.5, 2, 1),
        weights,
        {"exp_avg/layer.weight": weights["layer.weight"] * 2},
        weights if best else None,
    )


def test_the_newest_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    assert checkpoints.newest() == (None, None, [])
    for step in (2, 4, 6):
        checkpoints.save(_checkpoint(step, best=step == 6), _metrics(step - 2, step - 1), step - 2)
    address, _, warnings = checkpoints.newest()
    assert address is not None
    assert not warnings
    found, saved = checkpoints.load(address), _checkpoint(6, best=True)
    assert found.progress == saved.progress
    assert found.best is not None
    assert torch.equal(found.weights["layer.weight"], saved.weights["layer.weight"])
    assert torch.equal(found.moments["exp_avg/layer.weight"], saved.moments["exp_avg/layer.weight"])
    assert _recorded(checkpoints, 6) == ([0, 1, 2, 3, 4, 5], [])
    assert len(list((tmp_path / "steps").glob("step-*/whole.json"))) == 2  # older ones are gone


def test_a_checkpoint_that_was_cut_off_is_not_seen(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    checkpoints.save(_checkpoint(2), _metrics(0, 1), 0)
    checkpoints.save(_checkpoint(4), _metrics(2, 3), 2)
    newest, *_ = checkpoints.newest()
    assert newest is not None
    (Path(newest) / "whole.json").unlink()
    address, *_ = checkpoints.newest()
    assert address is not None
    assert checkpoints.load(address).progress.step == 2
    # What was recorded up to the lost one is there, and not taken up.
    assert _recorded(checkpoints, 2) == ([0, 1], [])


def test_steps_that_are_recorded_twice_count_once(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    checkpoints.save(_checkpoint(2), _metrics(0, 1), 0)
    checkpoints.save(_checkpoint(3), _metrics(2), 2)
    checkpoints.save(_checkpoint(4), _metrics(2, 3), 2)  # another attempt, which had gone on from step 2
    assert _recorded(checkpoints, 4) == ([0, 1, 2, 3], [])


def _recorded(checkpoints: Checkpoints, until: int) -> tuple[list[int], list[str]]:
    tables, warnings = checkpoints.recorded(until)
    return tables["metrics"]["step"].to_pylist(), warnings


@pytest.mark.parametrize("name", ["weights.safetensors", "state.json", "whole.json"])
def test_damaged_checkpoints_are_passed_over_and_removed(tmp_path: Path, name: str) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    for step in (2, 4):
        checkpoints.save(_checkpoint(step), _metrics(step - 2, step - 1), step - 2)
    older, newer = sorted((tmp_path / "steps").iterdir())
    (newer / name).write_bytes(b"{")
    address, _, (warning,) = checkpoints.newest()
    assert address == str(older)
    assert newer.name in warning
    assert checkpoints.newest()[::2] == (address, [])
    (older / name).write_bytes(b"{")
    address, _, warnings = checkpoints.newest()
    assert (address, len(warnings)) == (None, 1)


def test_records_that_are_lost_or_damaged_are_told(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    for step in (2, 4, 6):
        checkpoints.save(_checkpoint(step), _metrics(step - 2, step - 1), step - 2)
    first, second, _ = sorted((tmp_path / "records").iterdir())
    (second / "metrics.parquet").write_bytes(b"damaged")
    assert _recorded(checkpoints, 6) == ([0, 1, 4, 5], ["what was recorded of steps 2 to 3 is damaged"])
    shutil.rmtree(second)
    assert _recorded(checkpoints, 6) == ([4, 5], ["what was recorded of steps 0 to 3 is lost"])
    assert first.exists()
