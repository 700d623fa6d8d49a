"""MS MARCO's passage ranking files (Bajaj et al. 2016, arXiv 1611.09268): tab-separated, without header or titles."""

from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import pyarrow.csv as arrow_csv

from syneg.corpus import sources
from syneg.corpus.collection import Collection, from_files, judgement_table, plain_batch, record_batch
from syneg.corpus.lines import Block, blocks, numbered, parsed
from syneg.errors import BadInput
from syneg.settings.corpus import CorpusConfig


def read(corpus: CorpusConfig) -> Collection:
    return from_files(sources.msmarco(corpus), records, judgements)


def records(path: str) -> Iterator[pa.RecordBatch]:
    """Passages or queries: id, tab, text.

    A second tab is refused: it is how MS MARCO's documents (id, url, title, body) look, whose url is not their text.
    """
    for block in blocks(path):
        plain = _parse_plain(block)
        yield plain if plain is not None else record_batch(path, parsed(block.numbered(), partial(_record, path)))


def _parse_plain(block: Block) -> pa.RecordBatch | None:
    """The block by Arrow's parser, or None if anything in it is out of the ordinary: then line by line."""
    if b"\0" in block.content or b"\r" in block.content:  # Arrow takes a lone carriage return for a line's end
        return None
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(block.content),
            read_options=arrow_csv.ReadOptions(block_size=len(block.content) + 1, column_names=["id", "text"]),
            parse_options=arrow_csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=arrow_csv.ConvertOptions(column_types={"id": pa.string(), "text": pa.string()}),
        )
    except pa.ArrowInvalid:
        return None
    ids, texts = table["id"].combine_chunks(), table["text"].combine_chunks()
    return plain_batch(block, ids, pa.repeat(pa.scalar(""), len(ids)), texts)


def _record(path: str, number: int, line: str) -> tuple[str, str, str, int]:
    columns = line.split("\t")
    if len(columns) != 2:
        raise BadInput(
            f"{path}:{number}: {len(columns)} columns in {line[:80]!r}. Expected two, tab-separated: id, text. "
            "Tabs inside a text have to become spaces."
        )
    return columns[0], "", columns[1], number


def judgements(path: str) -> pa.Table:
    """query id, 0, passage id, relevance, by tabs or spaces (the same as TREC's)."""
    return judgement_table(path, parsed(numbered(path), partial(_judgement, path)))


def _judgement(path: str, number: int, line: str) -> tuple[str, str, str, int]:
    columns = line.split()
    if len(columns) != 4:
        raise BadInput(
            f"{path}:{number}: {len(columns)} columns in {line[:80]!r}. "
            "Expected four: query id, 0, passage id, relevance."
        )
    return columns[0], columns[2], columns[3], number
