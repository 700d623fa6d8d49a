"""ADORE by a Ray worker over a stored table gives what it gives in this process."""

from pathlib import Path

import pytest

from syneg.on_ray.workers import OnRay
from syneg.settings.encoder import EncoderConfig
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs
from syneg.store import tables
from syneg.train import adore
from tests.memory import rows_of
from tests.unit.train.test_adore import SETTINGS, inputs, model, trained

__all__ = ["inputs", "model"]  # fixtures


@pytest.mark.usefixtures("ray_session")
def test_a_worker_trains_what_this_process_trains(inputs: Inputs, model: Path, tmp_path: Path) -> None:
    found = {}
    for name, source in inputs.tables.items():
        parts = tables.write(source.blocks(), str(tmp_path / "store"), name)
        found[name] = tables.StoredTable(str(tmp_path / "store" / name), tuple(parts))
    encoder = EncoderConfig(model=str(model), query_max_length=32, passage_max_length=32)
    lines: list[str] = []
    (tmp_path / "scratch").mkdir()
    resources = ResourcesConfig()
    context = Context(resources, tmp_path / "scratch", progress=lines.append, workers=OnRay(resources.train, resources))
    output = adore.run(Inputs(found), context, encoder=encoder, adore=SETTINGS)
    alone, _, _ = trained(inputs, model, tmp_path / "alone")
    assert rows_of(output, "query_vectors").equals(alone)
    assert (output.folders["query_encoder"] / "modules.json").exists()
    assert lines[-1].startswith("step 18/18")
