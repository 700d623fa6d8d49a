"""Joining a Ray cluster, or starting one on this machine for the length of a run."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from syneg.config import ResourcesConfig


@contextmanager
def session(resources: ResourcesConfig) -> Iterator[None]:
    """Ray is up inside. A Ray that was running before is used and left running; one started here ends with it."""
    import ray
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False  # the pipeline's own line shows the progress
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    if ray.is_initialized():
        yield
        return
    address = resources.address or os.environ.get("RAY_ADDRESS")
    if address:
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    else:
        ray.init(
            address="local",
            num_cpus=resources.cpus,
            object_store_memory=int(resources.object_store_gib * 2**30),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
    try:
        yield
    finally:
        ray.shutdown()
