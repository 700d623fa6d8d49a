"""Checkpoints in the middle of training: enough to go on as if nothing had happened, on any number of workers.

A checkpoint is a sealed folder (`store.folders`) with the weights that learn and Adam's moments by the name of the
weight, in safetensors, and `state.json`. Random numbers and the order of the data follow from the step. What training
recorded since the checkpoint before lies in folders of its own, which stay when old checkpoints go.
"""

import json
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.torch import load_file, save_file
from torch import Tensor

from syneg import schemas
from syneg.errors import StoreError, Unreachable
from syneg.store import files, folders

_KEPT = 2  # checkpoints; the one before the newest is there should the newest turn out to be damaged


@dataclass(frozen=True)
class Progress:
    """How far training has come."""

    step: int = 0  # the one that comes next, counted from 0
    base: float | None = None  # nDCG@10 on dev of the model that training began with
    best: float | None = None  # of the best weights so far
    best_step: int | None = None
    looks_since: int = 0  # looks at dev since then


@dataclass(frozen=True)
class Checkpoint:
    progress: Progress
    weights: Mapping[str, Tensor]
    moments: Mapping[str, Tensor]
    best: Mapping[str, Tensor] | None


class Newest(NamedTuple):
    """Nothing where there is no whole checkpoint; a warning for each damaged one that was newer."""

    address: str | None
    checkpoint: Checkpoint | None
    warnings: list[str]


@dataclass(frozen=True)
class Checkpoints:
    """Those of one training, below `place`."""

    place: str

    def save(self, checkpoint: Checkpoint, recorded: Mapping[str, pa.Table], since: int) -> None:
        """Puts what was recorded in the steps from `since` on, then the checkpoint; older ones are removed after it."""
        step = checkpoint.progress.step
        with tempfile.TemporaryDirectory() as folder:
            for name, rows in recorded.items():
                pq.write_table(rows, Path(folder) / f"{name}.parquet", compression="zstd")
            self._put(Path(folder), self._records, f"{since:08d}-{step:08d}")
        with tempfile.TemporaryDirectory() as folder:
            save_file(dict(checkpoint.weights), Path(folder) / "weights.safetensors")
            save_file(dict(checkpoint.moments), Path(folder) / "moments.safetensors")
            if checkpoint.best is not None:
                save_file(dict(checkpoint.best), Path(folder) / "best.safetensors")
            (Path(folder) / "state.json").write_text(json.dumps(asdict(checkpoint.progress)), "utf-8")
            self._put(Path(folder), self._steps, f"step-{step:08d}")
        for old in folders.whole(self._steps)[_KEPT:]:
            folders.remove(old)

    def newest(self) -> "Newest":
        """The newest checkpoint in which nothing is damaged. Damaged ones that are newer are removed, lest they are
        counted among those that are kept.

        Raises:
            Unreachable: object storage does not let us look.
        """
        warnings: list[str] = []
        for address in folders.whole(self._steps):
            try:
                found = self.load(address)
            except Unreachable:
                raise
            except StoreError:
                name = address.rsplit("/", 1)[-1]
                warnings.append(f"the checkpoint {name} was damaged and is removed: training went on from before it")
                folders.remove(address)
            else:
                return Newest(address, found, warnings)
        return Newest(None, None, warnings)

    def load(self, address: str) -> Checkpoint:
        """Raises StoreError if a file is damaged."""
        with tempfile.TemporaryDirectory() as folder:
            folders.fetch(address, Path(folder))
            best = Path(folder) / "best.safetensors"
            return Checkpoint(
                Progress(**json.loads((Path(folder) / "state.json").read_text("utf-8"))),
                load_file(Path(folder) / "weights.safetensors"),
                load_file(Path(folder) / "moments.safetensors"),
                load_file(best) if best.exists() else None,
            )

    def recorded(self, until: int) -> tuple[dict[str, pa.Table], list[str]]:
        """What was recorded in the steps before `until`, put together from the pieces that reach from 0 to there; and a
        warning for each stretch of steps that is lost."""
        pieces = {}
        for address in folders.whole(self._records):
            first, last, _ = address.rsplit("/", 1)[-1].split("-")
            pieces[int(last)] = (int(first), address)
        found: dict[str, list[pa.Table]] = {
            name: [getattr(schemas, name.upper()).empty_table()] for name in ("metrics", "similarities")
        }
        addresses = []
        while until in pieces:
            until, address = pieces[until]
            addresses.append(address)
        warnings = [f"what was recorded of steps 0 to {until - 1} is lost"] if until else []
        for address in reversed(addresses):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    folders.fetch(address, Path(folder))
                except Unreachable:
                    raise
                except StoreError:
                    first, last, _ = address.rsplit("/", 1)[-1].split("-")
                    warnings.append(f"what was recorded of steps {int(first)} to {int(last) - 1} is damaged")
                    continue
                for name, tables in found.items():
                    tables.append(pq.read_table(Path(folder) / f"{name}.parquet", memory_map=False))
        return {name: pa.concat_tables(tables) for name, tables in found.items()}, warnings

    @property
    def _steps(self) -> str:
        return files.join(self.place, "steps")

    @property
    def _records(self) -> str:
        return files.join(self.place, "records")

    def _put(self, source: Path, below: str, name: str) -> None:
        put_whole(source, files.join(below, f"{name}-{uuid.uuid4().hex[:8]}"))


def put_whole(source: Path, address: str) -> str:
    """Copies the folder `source` to `address` in the store, where it is there as a whole or not at all."""
    folders.seal(address, folders.put(source, address))
    return address
