"""From YAML to runs, and what is refused."""

from pathlib import Path

import pytest
import yaml

from syneg.errors import BadInput
from syneg.experiment import grid

BASE = {"name": "any", "corpus": {"source": "stdlib"}, "train": {"epochs": 2}}
ARMS = {"base": {"tuned": False}, "cold": {"train.temperature": 0.01}, "warm": {"train.temperature": 0.1}}


def write(folder: Path, **changed: object) -> str:
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump({"name": "grid", "base": BASE, "arms": ARMS, "seeds": [4, 7]} | changed))
    return str(path)


def test_every_arm_under_every_seed(tmp_path: Path) -> None:
    found = grid.load(write(tmp_path, settings={"train.batch_size": 8}), ["train.epochs=3"])
    assert [(cell.arm, cell.seed) for cell in found.cells] == [("cold", 4), ("warm", 4), ("cold", 7), ("warm", 7)]
    config = found.cells[3].config
    assert config.name == "grid-warm-7"
    assert (config.train.temperature, config.train.seed, config.mix.seed) == (0.1, 7, 7)
    assert (config.train.batch_size, config.train.epochs) == (8, 3)
    assert config.generate.seed == 0  # the texts are shared by all seeds
    assert found.untuned["base"].train.temperature == 0.05


def test_changes_without_a_dot_are_the_experiments(tmp_path: Path) -> None:
    found = grid.load(write(tmp_path), ["seeds=[9]", "name=quick"])
    assert [cell.config.name for cell in found.cells] == ["quick-cold-9", "quick-warm-9"]


def test_an_empty_arm_is_the_base_config(tmp_path: Path) -> None:
    assert grid.load(write(tmp_path, arms={"plain": None})).cells[0].config.train.epochs == 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"arms": {"base": {"tuned": False}}}, "no arm is tuned"),
        ({"arms": {"a": {"train.seed": 3}}}, "which `seeds` sets"),
        ({"settings": {"train.seed": 3}}, "settings sets train.seed, which `seeds` sets"),
        ({"arms": {"a": {"train.epocs": 3}}}, r"arm a: unknown key train.epocs; did you mean train.epochs\?"),
        ({"arms": {"a": {}, "b": {"corpus.max_passages": 5}}}, "scored on the same collection"),
        ({"against": "base"}, "against names 'base', which is no tuned arm"),
        ({"seeds": [1, 1]}, "seeds names one twice"),
        ({"sedes": [1]}, r"unknown key sedes; did you mean seeds\?"),
        ({"base": "absent.yaml"}, "absent.yaml: cannot be read"),
    ],
)
def test_refused(tmp_path: Path, changed: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        grid.load(write(tmp_path, **changed))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train.seed=3", "settings sets train.seed, which `seeds` sets"),
        ("train.temperature=0.02", "every arm sets train.temperature itself"),
        ("mine.samplers.bm25.quota=3", "every arm sets mine.samplers.bm25.quota itself"),
    ],
)
def test_a_change_that_no_arm_would_heed_is_refused(tmp_path: Path, change: str, message: str) -> None:
    own = {"train.temperature": 0.01, "mine.samplers": {}}
    arms = {"base": {"tuned": False}, "a": own, "b": own}
    with pytest.raises(BadInput, match=message):
        grid.load(write(tmp_path, arms=arms), [change])
