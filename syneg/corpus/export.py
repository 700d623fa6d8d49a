"""Any source as a folder in BEIR layout."""

import json
from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa

from syneg.corpus.selection import select
from syneg.corpus.stage import PassageStream
from syneg.settings.corpus import CorpusConfig
from syneg.store import files


def write_beir(corpus: CorpusConfig, out: str) -> Mapping[str, int]:
    """Writes what a run with `corpus` would use: corpus.jsonl, queries.jsonl, qrels/{train,dev,test}.tsv.

    Returns how many rows were left out, by reason. The judgements that no reader does without, to test on and to train
    on, come last: a folder that was left half-written is refused.

    Raises:
        BadInput: the input is bad, or something is at `out` already.
    """
    files.check_vacant(out)
    selection = select(corpus, lambda message: None)
    files.put_chunks(files.join(out, "corpus.jsonl"), _passages(PassageStream(selection)))
    files.put_chunks(files.join(out, "queries.jsonl"), _queries(selection.queries.values()))
    for role in ("dev", "test", "train"):
        if len(selection.judgements[role]):
            files.put_chunks(files.join(out, f"qrels/{role}.tsv"), _qrels(selection.judgements[role]))
    return selection.rejected


def _passages(batches: Iterable[pa.Table]) -> Iterator[bytes]:
    for batch in batches:
        yield _json_lines(
            {"_id": row["passage_id"], "title": row["title"], "text": row["text"]} for row in batch.to_pylist()
        )


def _queries(tables: Iterable[pa.Table]) -> Iterator[bytes]:
    for table in tables:
        yield _json_lines({"_id": row["id"], "text": row["text"]} for row in table.select(["id", "text"]).to_pylist())


def _json_lines(records: Iterable[dict[str, str]]) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def _qrels(rows: pa.Table) -> Iterator[bytes]:
    yield b"query-id\tcorpus-id\tscore\n"
    for row in rows.to_pylist():
        yield f"{row['query_id']}\t{row['passage_id']}\t{row['relevance']}\n".encode()
