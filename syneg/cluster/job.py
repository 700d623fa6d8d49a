"""A run as a Ray job: what is sent, under which id, and whether it is there already. Pure."""

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from syneg import redaction
from syneg.config.run import RunConfig
from syneg.errors import BadInput

SCRIPT = Path("jobs/run.py")
_RUNTIME_ENV = Path("cluster/runtime-env.yaml")
_LIVE = ("PENDING", "RUNNING")


@dataclass(frozen=True)
class Job:
    """What the cluster is asked to run. `name` is the submission id of the first attempt."""

    name: str
    entrypoint: str
    runtime_env: Mapping[str, Any] = field(default_factory=dict)


def job(config: RunConfig, path: str, arguments: Sequence[str], folder: Path) -> Job:
    """The job that runs the config at `path` (inside `folder`, which is sent along) with further `arguments`.

    The name is the run's and a hash of the whole resolved config and the arguments, so that the same command finds the
    job while it waits or runs. What is in files (prompts, data, code) is not in it: see `attempt`.

    Raises:
        BadInput: `folder` is not the project's; the config lies outside; the store is a folder of the job's own.
    """
    if not (folder / SCRIPT).is_file():
        raise BadInput(f"{folder} holds no {SCRIPT}: run `syneg submit` in the project's folder, which is sent along.")
    inside = (folder / path).resolve()
    if not inside.is_relative_to(folder.resolve()):
        raise BadInput(f"{path} lies outside {folder}, which is what is sent along. Copy it to configs/.")
    root = config.store.root
    if "://" not in root and not Path(root).is_absolute():
        raise BadInput(
            f"store.root={root} would lie in the job's temporary folder and vanish with it. Give object storage, "
            "e.g. store.root=s3://my-bucket/syneg, or an absolute path that every node mounts."
        )
    address = [] if config.resources.address else ["resources.address=auto"]
    words = ["python", str(SCRIPT), inside.relative_to(folder.resolve()).as_posix(), *arguments, *address]
    content = json.dumps([config.model_dump(mode="json"), list(arguments)], sort_keys=True)
    mark = hashlib.sha256(content.encode()).hexdigest()[:12]
    return Job(f"{config.name}-{mark}", shlex.join(words), runtime_env(folder))


def runtime_env(folder: Path) -> dict[str, Any]:
    """cluster/runtime-env.yaml with `folder` as what is sent. Raises BadInput if it holds a secret."""
    settings = yaml.safe_load((folder / _RUNTIME_ENV).read_text(encoding="utf-8"))
    if held := list(redaction.found_in(settings)):
        raise BadInput(f"{_RUNTIME_ENV} holds a secret in {', '.join(held)}: every user of the cluster could read it.")
    return settings | {"working_dir": str(folder)}


def attempt(name: str, statuses: Sequence[str]) -> tuple[str, bool]:
    """The submission id to use after attempts with these `statuses`, and whether it is a new one.

    A job that waits or runs is joined. One that has ended, however it did, gets a further attempt, since Ray takes an
    id once: the files that the command names may have changed since, which only the stages' fingerprints know. A stage
    that is done costs nothing.
    """
    if statuses and statuses[-1] in _LIVE:
        return attempt_id(name, len(statuses)), False
    return attempt_id(name, len(statuses) + 1), True


def attempt_id(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def exit_code(status: str, of_driver: int | None) -> int:
    """The job's own where it has one; 143 for a job that was stopped."""
    if status == "SUCCEEDED":
        return 0
    return 143 if status == "STOPPED" else of_driver or 1
