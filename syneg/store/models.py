"""Models by address: a folder, or `package:NAME/PATH` inside an installed Python package; weights by their digest."""

import importlib.util
import os
from pathlib import Path

from syneg.errors import BadInput
from syneg.store.digests import cache_folder, of_paths

_PACKAGE = "package:"


def locate(address: str, key: str = "model") -> Path:
    """The folder or file that `address` names. `key` is the config's, for the message.

    Raises:
        BadInput: there is no such package, folder or file.
    """
    path = _in_package(address, key) if address.startswith(_PACKAGE) else Path(address).expanduser()
    if not path.exists():
        raise BadInput(
            f"{key}: no model at {address} (looked for {path}). Expected a model folder on this machine, "
            "or package:NAME/PATH for a model that comes as a Python package."
        )
    if path.is_dir() and not (path / "config.json").exists() and not (path / "modules.json").exists():
        raise BadInput(f"{key}: {address} is a folder without config.json or modules.json, so it is no model.")
    return path


def _in_package(address: str, key: str) -> Path:
    name, _, inside = address.removeprefix(_PACKAGE).partition("/")
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise BadInput(f"{key}: {address} names the package {name!r}, which is not installed. Run `make setup`.")
    return Path(spec.submodule_search_locations[0]) / inside


def digest(address: str, key: str = "model") -> str:
    """SHA-256 over every file of the model, names and content. The same weights have the same digest anywhere."""
    path = locate(address, key)
    if path.is_file():
        return of_paths(path.parent, [path])
    return of_paths(path, [file for file in sorted(path.rglob("*")) if file.is_file()])


def servable(address: str, key: str = "model") -> Path:
    """A folder with safetensors that vLLM and transformers load. A GGUF file is converted once, into the cache."""
    path = locate(address, key)
    if path.is_dir():
        return path
    target = cache_folder() / "models" / f"{path.stem}-{digest(address, key)[:12]}"
    if not (target / "config.json").exists():
        _convert_gguf(path, target)
    return target


def _convert_gguf(path: Path, target: Path) -> None:
    """GGUF to a float32 safetensors folder, put in place by one rename so that two processes may race."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    half_made = target.with_name(f".{target.name}.{os.getpid()}")
    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(half_made, safe_serialization=True)
    AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(half_made)
    try:
        half_made.rename(target)
    except OSError:
        if not (target / "config.json").exists():
            raise


if __name__ == "__main__":  # `make setup`
    from syneg.settings.generate import VllmEngine

    print(f"The packaged LLM is served from {servable(VllmEngine().model)}")
