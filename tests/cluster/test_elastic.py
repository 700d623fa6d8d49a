"""Training that begins on one worker and goes on with two, once another node has come."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import ray
from ray.cluster_utils import Cluster

from syneg import schemas
from syneg.settings.encoder import EncoderConfig
from syneg.settings.resources import ResourcesConfig, TrainResources
from syneg.settings.train import TrainConfig
from syneg.stage import Context, Inputs, Output
from syneg.train.stage import run
from tests.memory import MemoryTable, rows_of
from tests.tiny_bert import tiny_bert
from tests.unit.train.instances import instance_table

pytestmark = pytest.mark.cluster
_STORE_BYTES = 200 * 2**20
# Long enough that a node can come while it trains, gentle enough that the sums' order does not show.
_TRAIN = TrainConfig(
    epochs=200, batch_size=4, chunk_size=64, learning_rate=1e-5, query_max_length=12, passage_max_length=16
)
_STEPS = 200 * 8


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": _STORE_BYTES})
    ray.init(address=started.address, log_to_driver=False)
    yield started
    ray.shutdown()
    started.shutdown()


def test_a_node_that_comes_later_trains_along(cluster: Cluster, tmp_path: Path) -> None:
    """The losses are those of a training on one worker alone, and no step is missing or there twice."""
    alone = _trained(tmp_path / "alone", TrainResources(cpus=1), cluster)
    pool = TrainResources(cpus=1, min_workers=1, max_workers=2, checkpoint_steps=20, resize_seconds=5)
    with ThreadPoolExecutor(1) as threads:  # a node can be added by the main thread only
        training = threads.submit(_trained, tmp_path / "grown", pool, cluster)
        while not (training.done() or list((tmp_path / "grown").glob("**/step-*"))):
            time.sleep(0.2)  # until there is a checkpoint to go on from
        cluster.add_node(num_cpus=1, object_store_memory=_STORE_BYTES)
        grown = training.result()
    facts = [output.facts() for output in (alone, grown)]
    assert [fact["workers"] for fact in facts] == [1, 2]
    assert 0 < facts[1]["resumed_at_step"] < _STEPS
    metrics = [schemas.conform(rows_of(output, "metrics"), schemas.METRICS) for output in (alone, grown)]
    assert metrics[1]["step"].to_pylist() == list(range(_STEPS))
    losses = [np.array(rows["loss"].to_pylist()) for rows in metrics]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
    assert losses[0][-8:].mean() < losses[0][:8].mean()


def _trained(folder: Path, pool: TrainResources, cluster: Cluster) -> Output:
    folder.mkdir()
    model = EncoderConfig(
        model=str(tiny_bert(folder / "tiny", dropout=0.0)), query_max_length=12, passage_max_length=16
    )
    resources = ResourcesConfig(address=cluster.address, train=pool)
    context = Context(resources, folder, attempt=str(folder / "attempt"))
    inputs = Inputs({"instances": MemoryTable(instance_table(30))})
    return run(inputs, context, encoder=model, train=_TRAIN)
