"""Where a run writes, and what it says of a worker that failed, over the small stages of `test_pipeline`."""

from pathlib import Path

import pytest
from ray.exceptions import RayTaskError

from syneg.config.run import RunConfig
from syneg.errors import BadInput, StoreError
from syneg.pipeline import execution
from syneg.settings.mix import MixConfig
from syneg.store import files
from tests.unit.pipeline.test_pipeline import config, run

__all__ = ["config"]  # a fixture


def test_a_root_in_the_home_folder_is_one_place(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    settings = config.model_dump(mode="json") | {"store": {"root": "~/out"}}
    run(RunConfig.model_validate(settings))
    assert run(RunConfig.model_validate(settings)).reused == {"make", "count"}
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_root_need_not_be_writable_where_nothing_is_to_run(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(config)

    def refuses(folder: str) -> None:
        raise BadInput("not writable")

    monkeypatch.setattr(files, "check_writable", refuses)
    assert run(config).reused == {"make", "count"}
    with pytest.raises(BadInput, match="not writable"):
        run(config.model_copy(update={"mix": MixConfig(seed=5)}))


def test_what_a_worker_could_not_do_is_said_in_its_own_words(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object) -> None:
        raise RayTaskError("encode", "a remote traceback", StoreError("the disk is full")).as_instanceof_cause()

    monkeypatch.setattr(execution, "run", fails)
    with pytest.raises(StoreError, match=r"^the disk is full$"):
        run(config)
