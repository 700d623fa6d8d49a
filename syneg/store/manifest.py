"""The record that makes a stage's output exist: created last, once, never changed."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from syneg.errors import StoreError
from syneg.store import files, layout


class Part(BaseModel):
    """One stored object: a piece of a table, or a file of a folder. `rejected` counts its rows by reject_reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    rows: int = 0
    bytes: int
    sha256: str
    rejected: dict[str, int] = {}


class Manifest(BaseModel):
    """What a finished stage made, from what, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    fingerprint: str
    tables: dict[str, list[Part]]
    folders: dict[str, list[Part]]
    places: dict[str, str] = {}  # where each of `folders` lies; absent: under its own name
    rows_in: int
    rows_out: int
    rejected: dict[str, int]
    seconds: float
    retries: int = 0  # requests to object storage that were tried again while it was made
    facts: dict[str, Any]
    settings: dict[str, Any]  # the config sections, as resolved
    versions: dict[str, str]
    finished: str  # ISO 8601, UTC


def output_folder(root: str, stage: str, fingerprint: str) -> str:
    return files.join(root, stage, fingerprint)


def place(root: str, made: Manifest, output: str) -> str:
    """The address of one of a finished stage's tables or folders."""
    return files.join(output_folder(root, made.stage, made.fingerprint), made.places.get(output, output))


def load(root: str, stage: str, fingerprint: str) -> Manifest | None:
    """None if the stage has not finished under this fingerprint.

    Raises:
        StoreError: the manifest is there and cannot be read.
    """
    path = files.join(output_folder(root, stage, fingerprint), layout.MANIFEST)
    if not files.exists(path):
        return None
    try:
        return Manifest.model_validate_json(files.read(path))
    except ValidationError as error:
        raise StoreError(f"{path} cannot be read as a manifest ({error}). Remove its folder to go on.") from error


def publish(root: str, manifest: Manifest) -> bool:
    """Creates the manifest. False if another driver finished the same stage first; then its output counts."""
    path = files.join(output_folder(root, manifest.stage, manifest.fingerprint), layout.MANIFEST)
    return files.create(path, manifest.model_dump_json(indent=1).encode())
