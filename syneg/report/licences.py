"""What a model says of its own licence. Nothing is looked up beyond what lies on this machine."""

import importlib.metadata
from pathlib import Path
from typing import Any

import yaml

from syneg.store import files

_PACKAGE = "package:"


def of_model(address: str) -> str | None:
    """The licence in the metadata of the package, or in the front matter of the folder's model card; None if unsaid."""
    if address.startswith(_PACKAGE):
        return _of_package(address.removeprefix(_PACKAGE).partition("/")[0])
    card = files.join(address if files.is_remote(address) else str(Path(address).expanduser()), "README.md")
    return _of_card(files.read(card).decode("utf-8", "replace")) if files.exists(card) else None


def _of_package(name: str) -> str | None:
    for distribution in importlib.metadata.packages_distributions().get(name, ()):
        said = importlib.metadata.metadata(distribution)
        for field in ("License-Expression", "License"):
            if field in said and said[field].strip():
                return said[field].strip().splitlines()[0]
    return None


def _of_card(card: str) -> str | None:
    """The value of `license` between the card's first two lines of dashes."""
    if not card.startswith("---\n"):
        return None
    try:
        front: Any = yaml.safe_load(card[4:].partition("\n---")[0])
    except yaml.YAMLError:
        return None
    licence = front.get("license") if isinstance(front, dict) else None
    return str(licence) if licence else None
