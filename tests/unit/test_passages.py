"""The texts of passages: title and text joined, blanks kept as empty texts, those that are asked for and no others."""

import pyarrow as pa

from syneg.passages import COLUMNS, bodies_of, named_texts, texts_by_id, texts_of
from syneg.schemas import PASSAGES
from tests.memory import MemoryTable

ROWS = pa.table([["p2", "p1", "p3"], ["A title", "", " "], [" Text ", "Only TEXT", "\n"]], schema=PASSAGES)


def test_texts_stand_in_the_order_of_the_block() -> None:
    assert PASSAGES.names == COLUMNS
    assert texts_of(ROWS) == ["A title  Text", "Only TEXT", ""]
    assert list(named_texts(ROWS)) == [("p2", "A title  Text"), ("p1", "Only TEXT"), ("p3", "")]
    assert texts_of(ROWS.slice(0, 0)) == []


def test_titles_are_left_out_of_what_is_compared() -> None:
    assert bodies_of(ROWS) == ["text", "only text", ""]


def test_ids_that_there_are_not_are_left_out() -> None:
    assert texts_by_id(MemoryTable(ROWS), ["p1", "p9"]) == {"p1": "Only TEXT"}
