"""What `syneg run` leaves behind where its last step fails."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from syneg.commands import run, terminal
from syneg.errors import StoreError
from syneg.pipeline import pipeline
from syneg.pipeline.graph import stages
from syneg.watch import listeners, progress


def test_a_run_whose_report_was_not_written_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def began(config: Any, listener: pipeline.Listener, *_: object) -> None:
        listener.started(stages(config)[0])

    def fails(*_: object, **__: object) -> None:
        found = progress.load(str(tmp_path / "runs" / "demo"))
        assert found is None or found.state == "running"  # gc spares what a live run may read
        raise StoreError("the report cannot be put")

    monkeypatch.setattr(pipeline, "run", began)
    monkeypatch.setattr(terminal, "stage_table", lambda _: "")
    monkeypatch.setattr(run, "_publish", fails)
    monkeypatch.setattr(listeners, "_BEAT_SECONDS", 0.01)
    with suppress(StoreError):
        run.run("configs/demo.yaml", [f"store.root={tmp_path}"])
    ended = progress.load(str(tmp_path / "runs" / "demo"))
    assert ended is not None
    assert (ended.state, ended.message) == ("failed", "the report cannot be put")
