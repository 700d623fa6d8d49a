"""What every source gives: passages as a stream, queries and judgements as tables, each row with its line."""

# Arrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syneg.corpus.lines import Block, together
from syneg.corpus.sources import InputFiles
from syneg.errors import BadInput
from syneg.texts import UNFIT

RECORDS = pa.schema(
    [
        ("id", pa.string()),
        ("title", pa.string()),
        ("text", pa.string()),
        ("line", pa.int64()),
        ("replaced", pa.int32()),  # characters of title and text that are U+FFFD now
    ]
)
JUDGEMENTS = pa.schema(
    [("query_id", pa.string()), ("passage_id", pa.string()), ("relevance", pa.int32()), ("line", pa.int64())]
)

_BAD_ID = r"^\s*$|[\t\r\n\x{FFFD}]"
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")


@dataclass(frozen=True)
class Judgements:
    path: str
    rows: pa.Table  # JUDGEMENTS


@dataclass(frozen=True)
class Collection:
    """`passages` starts a new pass at every call, so that a large collection is never held; RECORDS in batches."""

    passages_path: str
    passages: Callable[[], Iterator[pa.RecordBatch]]
    queries: pa.Table  # RECORDS, each id once
    judgements: Mapping[str, Judgements]  # by role
    rejected: Mapping[str, int] = field(default_factory=dict)  # rows that the reader left out


def from_files(
    files: InputFiles, records: Callable[[str], Iterator[pa.RecordBatch]], judgements: Callable[[str], pa.Table]
) -> Collection:
    """A collection whose files are read by `records` (passages and queries) and `judgements`."""
    queries, repeated = _queries(files.queries, records)
    return Collection(
        passages_path=files.passages,
        passages=lambda: records(files.passages),
        queries=queries,
        judgements={role: Judgements(path, judgements(path)) for role, path in files.qrels.items()},
        rejected={"held_out": repeated} if repeated else {},
    )


def _queries(paths: Sequence[str], records: Callable[[str], Iterator[pa.RecordBatch]]) -> tuple[pa.Table, int]:
    """All queries, and how many rows repeat one of an earlier file (MS MARCO's dev.small is a part of dev)."""
    tables: list[pa.Table] = []
    known: dict[str, str] = {}
    repeated = 0
    for path in paths:
        table = pa.Table.from_batches(records(path), RECORDS)
        if not len(table):
            raise BadInput(f"{path}: no queries in it. Expected one a line.")
        refuse_duplicates(path, table["id"], table["line"])
        again = pc.is_in(table["id"], value_set=pa.array(known, pa.string()))
        for row in table.filter(again).to_pylist():
            if row["text"] != known[row["id"]]:
                raise BadInput(
                    f"{path}:{row['line']}: query {row['id']!r} reads {row['text']!r}, but {known[row['id']]!r} in "
                    "another file. Expected one text a query id over all files."
                )
        repeated += pc.sum(again).as_py() or 0
        tables.append(table.filter(pc.invert(again)))
        known.update(zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True))
    return pa.concat_tables(tables), repeated


def record_batch(path: str, rows: Sequence[tuple[str, str, str, int]]) -> pa.RecordBatch:
    """RECORDS of (id, title, text, line). NUL and lone surrogates become U+FFFD.

    Raises:
        BadInput: an id that no judgement could name.
    """
    ids, _ = _fit([row[0] for row in rows])
    titles, in_title = _fit([row[1] for row in rows])
    texts, in_text = _fit([row[2] for row in rows])
    lines = pa.array([row[3] for row in rows], pa.int64())
    bad = pc.match_substring_regex(ids, _BAD_ID)
    if pc.any(bad).as_py():
        raise together(
            f"{path}:{line}: the id {name!r} is blank or holds a tab, a line break, a NUL or a lone surrogate. "
            "Expected an id that a line of a tsv file can name."
            for name, line in zip(ids.filter(bad).to_pylist(), lines.filter(bad).to_pylist(), strict=True)
        )
    return pa.record_batch([ids, titles, texts, lines, pc.add(in_title, in_text)], schema=RECORDS)


def plain_batch(block: Block, ids: pa.Array, titles: pa.Array, texts: pa.Array) -> pa.RecordBatch | None:
    """RECORDS of a block that Arrow parsed, or None if it has to be read line by line.

    That is so if a line gave no row or more than one, a value is missing or not UTF-8 (Arrow's JSON lets that through),
    or an id is bad.
    """
    lines = pa.array(np.arange(block.first_line, block.first_line + block.line_count))
    if len(ids) != len(lines) or ids.null_count or texts.null_count:
        return None
    none_replaced = pa.repeat(pa.scalar(0, pa.int32()), len(ids))
    batch = pa.record_batch([ids, titles.fill_null(""), texts, lines, none_replaced], schema=RECORDS)
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        return None
    return None if pc.any(pc.match_substring_regex(ids, _BAD_ID)).as_py() else batch


def blank_rows(records: pa.RecordBatch) -> pa.Array:
    """A mask of the RECORDS that hold neither a title nor a text."""
    return pc.equal(pc.utf8_trim_whitespace(pc.binary_join_element_wise(records["title"], records["text"], " ")), "")


def judgement_table(path: str, rows: Sequence[tuple[str, str, str, int]]) -> pa.Table:
    """JUDGEMENTS of (query id, passage id, relevance as it is written, line).

    Raises:
        BadInput: a relevance that is no integer.
    """
    bad = [(relevance, line) for _, _, relevance, line in rows if not _INTEGER.fullmatch(relevance.strip())]
    if bad:
        raise together(
            f"{path}:{line}: the relevance is {relevance!r}. Expected an integer of up to 9 digits."
            for relevance, line in bad
        )
    query_ids, _ = _fit([row[0] for row in rows])
    passage_ids, _ = _fit([row[1] for row in rows])
    relevances = pa.array([int(row[2]) for row in rows], pa.int32())
    return pa.table(
        [query_ids, passage_ids, relevances, pa.array([row[3] for row in rows], pa.int64())], schema=JUDGEMENTS
    )


def refuse_duplicates(path: str, ids: pa.ChunkedArray, lines: pa.ChunkedArray) -> None:
    """Raises BadInput if an id stands twice, naming the first two lines of one that does.

    Counting takes some 75 bytes an id for a moment: at MS MARCO's 8.8 million 0.7 GB and 5 seconds.
    """
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    counts = pc.value_counts(ids)
    twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    first, second = lines.filter(pc.equal(ids, twice[0])).to_pylist()[:2]
    raise BadInput(
        f"{path}:{second}: the id {twice[0].as_py()!r} was already given on line {first} "
        f"({len(twice)} ids stand more than once). Expected each id once."
    )


def _fit(strings: list[str]) -> tuple[pa.Array, pa.Array]:
    """The strings without NUL and lone surrogates, and how many of those each held."""
    try:
        array = pa.array(strings, pa.string())
    except UnicodeEncodeError:  # a lone surrogate
        array = None
    if array is not None and not pc.any(pc.match_substring(array, "\0")).as_py():
        return array, pa.repeat(pa.scalar(0, pa.int32()), len(strings))
    pairs = [UNFIT.subn("\ufffd", string) for string in strings]
    return pa.array([text for text, _ in pairs], pa.string()), pa.array([count for _, count in pairs], pa.int32())
