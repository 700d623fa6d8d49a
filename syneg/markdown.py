"""Markdown that a model hub reads, and that no name which a user or a model chose can break out of."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml


def document(front: Mapping[str, Any], title: str, *blocks: str) -> str:
    """`front` as YAML before the title, and the blocks that are not empty."""
    head = yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True)
    return "\n\n".join([f"---\n{head}---", f"# {title}", *(block for block in blocks if block)]) + "\n"


def fields(values: Mapping[str, str]) -> str:
    """A table of names and what is not empty of their values."""
    return table(("", ""), [(name.replace("_", " "), value) for name, value in values.items() if value])


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(value: object) -> str:
    """A code span that also a table's cell can hold, whatever is in it."""
    text = " ".join(str(value).split()).replace("`", "'").replace("|", "\\|")
    return f"`{text}`" if text else "none"


def plain(text: str) -> str:
    """`text` as running text: HTML has no meaning in it, nor have Markdown's links, emphasis, code and cells."""
    for character in "\\`*_[]<>|":
        text = text.replace(
            character, f"\\{character}" if character not in "<>" else f"&{'lt' if character == '<' else 'gt'};"
        )
    return " ".join(text.split())
