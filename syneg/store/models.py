"""Models by address: a folder or file on this machine, in object storage (s3://...), or in an installed Python package
(`package:NAME/PATH`); weights by their digest.

What lies elsewhere is brought to this node once, into a cache, under a name made from the weights' digest: the same on
every node, so that a driver can name a folder that a worker on another node makes.
"""

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from syneg.errors import BadInput
from syneg.store import digests, files
from syneg.store.digests import cache_folder

_PACKAGE = "package:"
_MARKS = ("config.json", "modules.json")
CARD = "README.md"  # which says what is known of a model, and changes without it


def check(address: str, key: str = "model") -> str:
    """`address` as every process reads it, once it is seen that there is a model. `key` is the config's, for messages.

    Raises:
        BadInput: there is no such package, folder or file, or what is there is no model.
    """
    path = _resolved(address, key)
    if not files.exists(path):
        looked = files.looked_from(path) or f" (looked for {path})"
        raise BadInput(
            f"{key}: no model at {address}{looked}. Expected a model folder on this machine, s3://bucket/folder, or "
            "package:NAME/PATH for a model that comes as a Python package."
        )
    if _is_folder(path) and not any(files.exists(files.join(path, mark)) for mark in _MARKS):
        raise BadInput(f"{key}: {address} is a folder without {' or '.join(_MARKS)}, so it is no model.")
    return address if address.startswith(_PACKAGE) else files.absolute(address)


def locate(address: str, key: str = "model") -> Path:
    """The folder or file that `address` names, on this node. What lies in object storage is fetched once a node.

    Raises:
        BadInput: as `check`.
    """
    path = _resolved(check(address, key), key)
    if not files.is_remote(path):
        return Path(path)
    target = _cached(address, key)
    _once(target, lambda half_made: _fetch(path, half_made))
    return target if _is_folder(path) else target / _name(path)


def _resolved(address: str, key: str) -> str:
    if files.is_remote(address):
        return address.rstrip("/")
    if not address.startswith(_PACKAGE):
        return str(Path(address).expanduser())
    name, _, inside = address.removeprefix(_PACKAGE).partition("/")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise BadInput(f"{key}: {address} names the package {name!r}, which is not installed. Run `make setup`.")
    return str(Path(spec.submodule_search_locations[0]) / inside)


def _is_folder(path: str) -> bool:
    return not path.endswith((".gguf", ".safetensors")) if files.is_remote(path) else Path(path).is_dir()


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def digest(address: str, key: str = "model") -> str:
    """SHA-256 over every file of the model but its card, names and content. The same weights have the same anywhere."""
    path = _resolved(check(address, key), key)
    if _is_folder(path):
        return digests.of_folder(path, without=CARD)
    return digests.of_files(path.rpartition("/")[0], [_name(path)])


def _cached(address: str, key: str) -> Path:
    return cache_folder() / "models" / f"{Path(_name(address)).stem}-{digest(address, key)[:12]}"


def servable(address: str, key: str = "model") -> Path:
    """A folder with safetensors that vLLM and transformers load. A GGUF file is converted once a node."""
    path = locate(address, key)
    if path.is_dir():
        return path
    target = _converted(address, key)
    _once(target, lambda half_made: _convert_gguf(path, half_made))
    return target


def _converted(address: str, key: str) -> Path:
    cached = _cached(address, key)
    # A file that was fetched lies in a folder of the first name.
    return cached.with_name(f"{cached.name}-converted") if files.is_remote(address) else cached


def _once(target: Path, make: Callable[[Path], None]) -> None:
    """Has `make` fill `target`, unless it is there. Of many processes of a node one works, and the others wait."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")):
        if target.exists():
            return
        half_made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            make(half_made)
            half_made.rename(target)
        finally:
            shutil.rmtree(half_made, ignore_errors=True)


def _fetch(path: str, target: Path) -> None:
    folder, names = path, [name for name, _ in files.files_below(path)]
    if not _is_folder(path):
        folder, names = path.rpartition("/")[0], [_name(path)]
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        with files.open_read(files.join(folder, name)) as source, (target / name).open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 22)


def _convert_gguf(path: Path, target: Path) -> None:
    """GGUF to a float32 safetensors folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(target, safe_serialization=True)
    AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(target)


ENGINE_MODEL = "SYNEG_ENGINE_MODEL"
"""Environment variable that tells a vLLM process which model it is going to load, as `servable` has it."""


def bring_for_vllm() -> None:
    """Called in each process of vLLM before it reads a model.

    So a node that joins while the job runs has the model in time, whichever process of whichever node comes first.
    """
    if address := os.environ.get(ENGINE_MODEL):
        servable(address, "generate.engine.model")


if __name__ == "__main__":  # `make setup`
    from syneg.settings.generate import VllmEngine

    print(f"The packaged LLM is served from {servable(VllmEngine().model)}")
