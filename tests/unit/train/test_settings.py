import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from syneg.errors import BadInput
from syneg.settings.resources import TrainResources
from syneg.settings.train import TrainConfig
from syneg.train.trackers import asked_for, check, scalars


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"zero_stage": 3}, "stage 3 shares out the weights"),
        ({"cross_device_negatives": True}, "in_batch_negatives, which is off"),
        ({"both_directions": True}, "in_batch_negatives, which is off"),
        ({"false_negative_margin": 0.0}, "in_batch_negatives, which is off"),
        ({"lora": {}, "trained_layers": 2}, "leave out trained_layers"),
        ({"dev": {"patience": 2}}, "give dev.every"),
        ({"learning_rate": 1e38}, "less than or equal to 1"),
    ],
)
def test_settings_that_contradict_each_other(given: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainConfig.model_validate(given)


def test_a_tracker_that_is_not_installed_is_refused() -> None:
    with pytest.raises(BadInput, match="package wandb is not installed"):
        check(TrainResources(trackers=("wandb",)))


def test_trackers_are_told_numbers() -> None:
    row = {"step": 3, "loss": 0.5, "peak_share": None, "masses": [{"source": "bm25", "mass": 0.2, "negatives": 1.0}]}
    row |= {"positive_scores": [0.1, 0.2, 0.3], "negative_scores": None}
    assert scalars(row) == {
        "train/step": 3,
        "train/loss": 0.5,
        "train/mass/bm25": 0.2,
        "train/positive_scores/median": 0.2,
    }


def test_tensorboard_has_a_folder_for_each_training(tmp_path: Path) -> None:
    pool = TrainResources(trackers=("tensorboard",), tensorboard_folder=str(tmp_path))
    titles = ["run/train_1-0123abcd", "run/train-4567cdef"]
    for title in titles:
        tracker = asked_for(pool, title)["tensorboard"]()
        tracker.log({"step": 0, "loss": 0.5})
        tracker.close()
    for title in titles:
        assert len(list((tmp_path / title).glob("events.out.tfevents.*"))) == 1


def test_a_training_has_a_name_where_others_are_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, str]] = []
    library = SimpleNamespace(
        start_run=lambda **given: started.append(given), init=lambda **given: started.append(given)
    )
    monkeypatch.setitem(sys.modules, "mlflow", library)
    monkeypatch.setitem(sys.modules, "wandb", library)
    for start in asked_for(TrainResources(trackers=("mlflow", "wandb")), "run/train-0123abcd").values():
        start()
    assert started == [{"run_name": "run/train-0123abcd"}, {"name": "run/train-0123abcd"}]
