"""Tiny collections on disk, and the stage run on them."""

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from syneg.corpus.stage import run
from syneg.rejection import CORPUS_REASONS
from syneg.schemas import PASSAGES, QRELS, QUERIES, conform
from syneg.settings.corpus import CorpusConfig
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs, Output

BEIR = {
    "corpus.jsonl": '{"_id": "p1", "title": "One", "text": "first"}\n{"_id": "p2", "text": "second"}\n'
    '{"_id": "p3", "title": null, "text": "third", "metadata": {"year": 1999}}\n',
    "queries.jsonl": '{"_id": "q1", "text": "which is first"}\n{"_id": "q2", "text": "which is second"}\n'
    '{"_id": "q3", "text": "which is third"}\n',
    "qrels/train.tsv": "query-id\tcorpus-id\tscore\nq1\tp1\t1\nq2\tp2\t2\n",
    "qrels/test.tsv": "query-id\tcorpus-id\tscore\nq3\tp3\t1\n",
}
MSMARCO = {
    "collection.tsv": '0\tfirst passage\n1\tsecond passage\n2\tthird "quoted passage\n',
    "queries.train.tsv": "10\twhich is first\n11\twhich is second\n",
    "queries.dev.tsv": "20\twhich is third\n21\twhich is fourth\n",
    "queries.dev.small.tsv": "21\twhich is fourth\n",
    "qrels.train.tsv": "10\t0\t0\t1\n11\t0\t1\t1\n",
    "qrels.dev.tsv": "20\t0\t2\t1\n21\t0\t2\t1\n",
    "qrels.dev.small.tsv": "21\t0\t2\t1\n",
}


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Writes the files; a name in .gz is compressed unless bytes are given."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = content.encode()
            content = gzip.compress(content) if name.endswith(".gz") else content
        path.write_bytes(content)
    return folder


def run_stage(corpus: CorpusConfig) -> tuple[dict[str, pa.Table], Output]:
    """The three tables as the pipeline would write them; the ledger is checked on the way."""
    output = run(Inputs({}), Context(ResourcesConfig(), Path()), corpus=corpus)
    passages: Any = output.tables["passages"]
    tables = {
        "passages": conform(pa.concat_tables(passages), PASSAGES),
        "queries": conform(output.tables["queries"], QUERIES),  # pyright: ignore[reportArgumentType]
        "qrels": conform(output.tables["qrels"], QRELS),  # pyright: ignore[reportArgumentType]
    }
    assert output.rows_out == sum(map(len, tables.values()))
    assert output.rows_in == sum(map(len, tables.values())) + sum(output.rejected.values())
    assert set(output.rejected) <= set(CORPUS_REASONS)
    return tables, output
