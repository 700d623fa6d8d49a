"""What is brought to the workers, and where it is put."""

from pathlib import Path

import pytest
import ray

from syneg.settings.resources import ResourcesConfig
from syneg.settings.train import TrainConfig
from syneg.stage import Context, Inputs
from syneg.store import files
from syneg.train.data import bring
from tests.memory import MemoryTable
from tests.unit.train.instances import instance_table


@pytest.mark.parametrize("address", [None, "auto"])
def test_on_a_cluster_the_data_is_in_the_store_for_nodes_that_come_later(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str | None
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "nodes", lambda: ["the head alone"])
    context = Context(ResourcesConfig(address=address), tmp_path, attempt=str(tmp_path / "attempt"))
    brought = bring(Inputs({"instances": MemoryTable(instance_table(6))}), context, TrainConfig())
    assert (brought.stored is not None) == (address is not None)
    if brought.stored is not None:
        stored = {name.rpartition("/")[2] for name, _ in files.files_below(brought.stored)}
        assert stored >= {path.name for path in brought.folder.iterdir()}
