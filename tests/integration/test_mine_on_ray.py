"""Mining by Ray's workers over a stored table gives what one process finds."""

from pathlib import Path

import pytest

from syneg.mine import stage
from syneg.on_ray.workers import InProcess, OnRay
from syneg.settings.mine import Bm25Config, MineConfig
from syneg.settings.resources import ResourcesConfig, WorkerResources
from syneg.stage import Context, Inputs
from syneg.store import tables
from tests.memory import rows_of
from tests.unit.mine.test_stage import EVERY, many

KEYS = [("query_id", "ascending"), ("sampler", "ascending"), ("rank", "ascending")]


def stored(inputs: Inputs, root: Path) -> Inputs:
    found = {}
    for name, source in inputs.tables.items():
        parts = tables.write(source.blocks(), str(root), name)
        found[name] = tables.StoredTable(str(root / name), tuple(parts))
    return Inputs(found)


@pytest.mark.usefixtures("ray_session")
def test_workers_find_what_one_process_finds(tmp_path: Path) -> None:
    mine = MineConfig.model_validate(EVERY)
    resources = ResourcesConfig(mine=WorkerResources(max_workers=2))
    context = Context(resources, tmp_path, workers=InProcess())
    alone = stage.run(many(450), context, bm25=Bm25Config(), mine=mine)
    context = Context(resources, tmp_path, workers=OnRay(resources.mine, resources))
    together = stage.run(stored(many(450), tmp_path / "store"), context, bm25=Bm25Config(), mine=mine)
    rows = rows_of(together, "candidates")
    assert rows.sort_by(KEYS).equals(rows_of(alone, "candidates").sort_by(KEYS))
    assert together.facts() == alone.facts()
