"""Collections in BEIR layout (Thakur et al. 2021, arXiv 2104.08663): corpus.jsonl, queries.jsonl, qrels/{split}.tsv."""

import json
from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import pyarrow.json as arrow_json

from syneg.corpus import sources
from syneg.corpus.collection import Collection, from_files, judgement_table, plain_batch, record_batch
from syneg.corpus.lines import Block, blocks, numbered, parsed
from syneg.errors import BadInput
from syneg.settings.corpus import CorpusConfig

_FIELDS = pa.schema([("_id", pa.string()), ("title", pa.string()), ("text", pa.string())])
_SCORE_HEADERS = ("score", "relevance", "rel", "label")


def read(corpus: CorpusConfig) -> Collection:
    return from_files(sources.beir(corpus), records, judgements)


def records(path: str) -> Iterator[pa.RecordBatch]:
    """Passages or queries, one JSON object a line: `_id` and `text`, with or without `title`; the rest is ignored."""
    for block in blocks(path):
        plain = _parse_plain(block)
        yield plain if plain is not None else record_batch(path, parsed(block.numbered(), partial(_record, path)))


def _parse_plain(block: Block) -> pa.RecordBatch | None:
    """The block by Arrow's parser, or None if anything in it is out of the ordinary: then line by line."""
    if b"\\u0000" in block.content or not _braced(block):
        return None
    try:
        table = arrow_json.read_json(
            pa.BufferReader(block.content),
            read_options=arrow_json.ReadOptions(block_size=len(block.content) + 1),
            parse_options=arrow_json.ParseOptions(explicit_schema=_FIELDS, unexpected_field_behavior="ignore"),
        ).combine_chunks()
    except pa.ArrowInvalid:
        return None
    return plain_batch(block, *(table[name].combine_chunks() for name in _FIELDS.names))


def _braced(block: Block) -> bool:
    """Whether every line begins and ends with a brace.

    Arrow takes two objects on a line too, and one over several lines. If Arrow returns one row per line and every line
    is `{…}`, each line is one object: a continuation line never starts with a brace.
    """
    content = block.content.rstrip(b"\r\n")
    between = content.count(b"}\n{") + content.count(b"}\r\n{")
    return content.startswith(b"{") and content.endswith(b"}") and between == block.line_count - 1


def _record(path: str, line: int, content: str) -> tuple[str, str, str, int]:
    try:
        # Not strict: raw control characters inside a string are let through.
        record = json.loads(content, strict=False)
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{path}:{line}: broken JSON ({error}): {content[:80]!r}. Expected one JSON object a line."
        ) from error
    if not isinstance(record, dict):
        raise BadInput(f"{path}:{line}: a JSON {type(record).__name__}. Expected an object with `_id` and `text`.")
    for key in ("_id", "text"):
        if key not in record:
            raise BadInput(
                f"{path}:{line}: no `{key}`, only {', '.join(record) or 'nothing'}. Expected `_id` and `text`: the "
                "README shows how to rename columns (Your own data and LLM)."
            )
    title = record.get("title")
    fields = {"_id": record["_id"], "text": record["text"], "title": "" if title is None else title}
    for key, value in fields.items():
        if not isinstance(value, str):
            seen = json.dumps(value)[:80]
            example = f'"{key}": "{seen}"' if isinstance(value, int | float) else "in quotes"
            raise BadInput(f"{path}:{line}: `{key}` is {seen}. Expected a string, as BEIR has it: {example}.")
    return fields["_id"], fields["title"], fields["text"], line


def judgements(path: str) -> pa.Table:
    """query-id, corpus-id, score, tab-separated. The header may be missing: BEIR's own loader would eat a line."""
    rows = parsed(numbered(path), partial(_judgement, path))
    if rows and rows[0][3] == 1 and rows[0][2].strip().casefold() in _SCORE_HEADERS:
        del rows[0]
    return judgement_table(path, rows)


def _judgement(path: str, number: int, line: str) -> tuple[str, str, str, int]:
    columns = line.split("\t")
    if len(columns) != 3:
        raise BadInput(
            f"{path}:{number}: {len(columns)} columns in {line[:80]!r}. "
            "Expected three, tab-separated: query-id, corpus-id, score."
        )
    return columns[0], columns[1], columns[2], number
