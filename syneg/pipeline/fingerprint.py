"""The fingerprint of a stage's output: a hash of everything that can change its rows, and of nothing else."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from syneg.corpus import sources
from syneg.errors import BadInput
from syneg.settings.corpus import CorpusConfig
from syneg.settings.section import Content, Section
from syneg.store import digests, files, layout, models


def of_stage(name: str, version: int, sections: Mapping[str, Section], reads: Mapping[str, str]) -> str:
    """`reads`: by the input's name, the fingerprint of the stage that makes it and the table's name there.

    Raises:
        BadInput: a file or model that a section names is not there.
    """
    settings = {key: _canonical(section, key) for key, section in sections.items()}
    made_of = {"stage": name, "version": version, "settings": settings, "reads": dict(reads)}
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[: layout.FINGERPRINT_DIGITS]


def _canonical(section: Section, key: str) -> dict[str, Any]:
    """The section's values, with digests for the fields that are marked `Content`, without those that decide no row."""
    values: dict[str, Any] = {}
    left_out = section.circumstances()
    for name, field in type(section).model_fields.items():
        if name in left_out:
            continue
        value, address = getattr(section, name), f"{key}.{name}"
        content = next((mark for mark in field.metadata if isinstance(mark, Content)), None)
        values[name] = _content(content, value, section, address) if content else _plain(value, address)
    return values


def _plain(value: Any, key: str) -> Any:
    if isinstance(value, Section):
        return _canonical(value, key) if value.decides_rows() else None
    if isinstance(value, dict):
        # Order is kept: that of the samplers decides who is asked first.
        return [[name, _plain(inner, f"{key}.{name}")] for name, inner in value.items()]
    return value


def _content(content: Content, address: str | Literal[False] | None, section: Section, key: str) -> str | None:
    if isinstance(section, CorpusConfig):
        return _corpus_digest(section)
    if not address:
        return "" if address is False else None  # nothing at all, or what syneg has by default
    if content.kind == "model":
        return models.digest(address, key)
    if not files.exists(address):
        raise BadInput(
            f"{key}: there is no file {address}{files.looked_from(address)}. Give the path of an existing one."
        )
    return digests.of_folder(address) if any(files.entries_below(address)) else digests.of_file(address)


def _corpus_digest(corpus: CorpusConfig) -> str:
    if corpus.path is None:
        return sources.version(corpus)
    names = [path.removeprefix(corpus.path).lstrip("/") for path in sources.files(corpus)]
    return digests.of_files(corpus.path, names)
