from pathlib import Path

import pyarrow as pa
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
    assert checkpoints.newest() is None
    for step in (2, 4, 6):
        checkpoints.save(_checkpoint(step, best=step == 6), _metrics(step - 2, step - 1), step - 2)
    address = checkpoints.newest()
    assert address is not None
    found, saved = checkpoints.load(address), _checkpoint(6, best=True)
    assert found.progress == saved.progress
    assert found.best is not None
    assert torch.equal(found.weights["layer.weight"], saved.weights["layer.weight"])
    assert torch.equal(found.moments["exp_avg/layer.weight"], saved.moments["exp_avg/layer.weight"])
    assert checkpoints.recorded(6)["metrics"]["step"].to_pylist() == [0, 1, 2, 3, 4, 5]
    assert len(list((tmp_path / "steps").glob("step-*/whole.json"))) == 2  # older ones are gone


def test_a_checkpoint_that_was_cut_off_is_not_seen(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    checkpoints.save(_checkpoint(2), _metrics(0, 1), 0)
    checkpoints.save(_checkpoint(4), _metrics(2, 3), 2)
    newest = checkpoints.newest()
    assert newest is not None
    (Path(newest) / "whole.json").unlink()
    address = checkpoints.newest()
    assert address is not None
    assert checkpoints.load(address).progress.step == 2
    # What was recorded up to the lost one is there, and not taken up.
    assert checkpoints.recorded(2)["metrics"]["step"].to_pylist() == [0, 1]


def test_steps_that_are_recorded_twice_count_once(tmp_path: Path) -> None:
    checkpoints = Checkpoints(str(tmp_path))
    checkpoints.save(_checkpoint(2), _metrics(0, 1), 0)
    checkpoints.save(_checkpoint(3), _metrics(2), 2)
    checkpoints.save(_checkpoint(4), _metrics(2, 3), 2)  # another attempt, which had gone on from step 2
    assert checkpoints.recorded(4)["metrics"]["step"].to_pylist() == [0, 1, 2, 3]
