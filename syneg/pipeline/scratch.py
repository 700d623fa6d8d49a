"""Running a part of a config without leaving anything in its store."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

from syneg.config.run import RunConfig
from syneg.pipeline import pipeline
from syneg.settings.store import StoreConfig
from syneg.store import files


@contextmanager
def in_scratch_store(config: RunConfig) -> Iterator[RunConfig]:
    """`config` with a store that is removed afterwards. What comes before generation and is done is not done again."""
    with tempfile.TemporaryDirectory(prefix="syneg-look-") as root:
        for step in takewhile(lambda step: step.stage.name != "generate", pipeline.look(config)):
            if step.done and not files.is_remote(config.store.root):
                os.symlink(Path(config.store.root, step.stage.name).absolute(), Path(root, step.stage.name))
        yield config.model_copy(update={"store": StoreConfig(root=root)})
