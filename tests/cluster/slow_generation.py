"""The `syneg` command with an engine that holds a GPU and takes its time: recorded answers, handed out slowly.

Everything else is the real thing: requests, the pool of workers by resources.generate, parts, the manifest.
"""

import os
import time

import pyarrow as pa
from ray.data import ActorPoolStrategy, Dataset

from syneg import cli
from syneg.generate import engine
from syneg.generate.engines.asked import Decoding
from syneg.on_ray.placement import node_group
from syneg.settings.generate import Engine
from syneg.settings.resources import ResourcesConfig

_SECONDS_A_ROW = float(os.environ.get("SECONDS_A_ROW", "0.25"))
_recorded = engine.answer


class Slow:
    def __call__(self, batch: pa.Table) -> pa.Table:
        time.sleep(_SECONDS_A_ROW * batch.num_rows)
        return batch


def answer(
    requests: Dataset,
    columns: list[str],
    decoding: Decoding,
    settings: Engine,
    resources: ResourcesConfig,
    at_stake: int,
) -> Dataset:
    workers = resources.generate
    return _recorded(requests, columns, decoding, settings, resources, at_stake).map_batches(
        Slow,
        batch_size=workers.batch_rows,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(
            min_size=workers.min_workers, max_size=workers.max_workers, max_tasks_in_flight_per_actor=4
        ),
        num_cpus=workers.cpus,
        num_gpus=workers.gpus,
        resources=node_group(workers),
        max_restarts=-1,
        max_task_retries=-1,
    )


if __name__ == "__main__":
    engine.answer = answer
    cli.main()
