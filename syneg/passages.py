"""The texts of passages, by block and by id. The columns `title` and `text` make one text, see `texts.passage_text`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from syneg.texts import body_of, passage_text

if TYPE_CHECKING:  # a bare GPU machine has no Ray and no pydantic, which a stage needs
    import pyarrow as pa

    from syneg.stage import Source

COLUMNS = ["passage_id", "title", "text"]
"""What is read of a passage for its text."""


def texts_of(block: pa.Table) -> list[str]:
    """The text of every passage of `block`, in its order; "" where it has neither a title nor a text."""
    return list(map(passage_text, block["title"].to_pylist(), block["text"].to_pylist()))


def bodies_of(block: pa.Table) -> list[str]:
    """What every passage of `block` is compared by, in its order; see `texts.body_of`."""
    return list(map(body_of, block["title"].to_pylist(), block["text"].to_pylist()))


def named_texts(block: pa.Table) -> Iterator[tuple[str, str]]:
    """Id and text of every passage of `block`, in its order."""
    return zip(block["passage_id"].to_pylist(), texts_of(block), strict=True)


def texts_by_id(passages: Source, ids: Iterable[str]) -> dict[str, str]:
    """The texts of those of `ids` that there are."""
    return dict(named_texts(passages.where("passage_id", list(ids), COLUMNS)))
