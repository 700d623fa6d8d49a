"""Which texts need no encoding, because another output of the same encoder holds their vectors."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from syneg.encoder.texts import Texts, contents
from syneg.keyset import KeySet
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs
from tests.memory import MemoryTable, recovered

PASSAGES = pa.table({"passage_id": ["p0", "p1", "p2"], "title": ["", "A", ""], "text": ["zero", "one", "two"]})
INPUTS = Inputs({"passages": MemoryTable(PASSAGES, block_rows=2)})


@dataclass
class Holds:
    """Another output with vectors of these ids and texts."""

    pairs: list[tuple[str, str]]
    asked: list[Any] = field(default_factory=list)

    def __call__(self, table: str, facts: Mapping[str, Any]) -> "Holds":
        self.asked.append((table, facts))
        return self

    @property
    def keys(self) -> KeySet:
        return KeySet.of(self._contents().to_pylist())

    def rows(self, wanted: KeySet) -> Iterator[pa.Table]:
        rows = pa.table({"id": [name for name, _ in self.pairs], "content": self._contents()})
        yield rows.filter(pa.array(wanted.mask(rows["content"])))

    def _contents(self) -> pa.Array:
        return contents(*(pa.chunked_array([list(column)]) for column in zip(*self.pairs, strict=True)))


def passages(tmp_path: Path, earlier: Holds | None, done: Sequence[str] = ()) -> Texts:
    stored = recovered("passage_vectors", pa.table({"id": pa.array(done, pa.string())}))
    context = Context(ResourcesConfig(), tmp_path, recovered=stored, earlier=earlier)
    return Texts.of("passage", INPUTS, context, {"encoder": "same"})


def test_what_has_the_same_id_and_the_same_text_is_taken(tmp_path: Path) -> None:
    other = Holds([("p0", "zero"), ("p1", "A one"), ("p2", "another text"), ("p3", "zero")])
    texts = passages(tmp_path, other)
    assert other.asked == [("passage_vectors", {"encoder": "same"})]
    assert texts.count() == 3
    assert len(texts.taken) == 2
    assert pa.concat_tables(texts.rows_taken())["id"].to_pylist() == ["p0", "p1"]


def test_what_this_output_holds_is_not_taken_again(tmp_path: Path) -> None:
    texts = passages(tmp_path, Holds([("p0", "zero"), ("p1", "A one")]), done=["p0"])
    assert pa.concat_tables(texts.rows_taken())["id"].to_pylist() == ["p1"]


def test_nothing_was_encoded_before(tmp_path: Path) -> None:
    texts = passages(tmp_path, None)
    assert not len(texts.taken)
    assert list(texts.rows_taken()) == []


def test_borders_count() -> None:
    left, right = (contents(pa.chunked_array([[name]]), pa.chunked_array([[text]])) for name, text in ("ab", "ba"))
    assert left != right
