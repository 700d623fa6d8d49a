"""Corpus: passages, queries and judgements of any source, on this machine alone, so that bad input starts nothing."""

# Arrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from syneg.corpus.collection import blank_rows
from syneg.corpus.selection import Selection, select
from syneg.schemas import PASSAGES, QRELS, QUERIES
from syneg.settings.corpus import CorpusConfig
from syneg.stage import Context, Inputs, Output


def run(inputs: Inputs, context: Context, *, corpus: CorpusConfig) -> Output:
    """Tables passages (streamed from the files while they are written), queries and qrels.

    The ledger counts rows of all three: a judgement may be rejected as well as a query or a passage.

    Raises:
        BadInput: from here, before any row is given.
    """
    selection = select(corpus, context.progress)
    passages = PassageStream(selection)
    queries, qrels = queries_table(selection), qrels_table(selection)
    return Output(
        rows_in=selection.rows_in,
        tables={"passages": passages, "queries": queries, "qrels": qrels},
        rows_out=int(selection.kept_passages.sum()) + len(queries) + len(qrels),
        rejected=selection.rejected,
        facts=lambda: {**passages.facts(), **_query_facts(selection)},
    )


def queries_table(selection: Selection) -> pa.Table:
    """QUERIES: train, dev, test, each in the order of its file."""
    tables = []
    for role, rows in selection.queries.items():
        split = pa.repeat(pa.scalar(role), len(rows))
        tables.append(pa.table([rows["id"], rows["text"], split], schema=QUERIES))
    return pa.concat_tables(tables)


def qrels_table(selection: Selection) -> pa.Table:
    """QRELS in the same order."""
    return pa.concat_tables(selection.judgements.values()).select(QRELS.names).cast(QRELS)


@dataclass
class PassageStream:
    """PASSAGES in blocks of bounded size; one pass over the files an iteration, of which the last one counts."""

    selection: Selection
    rows: int = 0
    empty: int = 0
    replaced: int = 0
    characters: int = 0

    def __iter__(self) -> Iterator[pa.Table]:
        self.rows = self.empty = self.replaced = self.characters = 0
        for batch in self.selection.passages():
            title, text = batch["title"], batch["text"]
            self.rows += batch.num_rows
            self.empty += _sum(blank_rows(batch))
            self.replaced += _sum(batch["replaced"])
            self.characters += _sum(pc.utf8_length(title)) + _sum(pc.utf8_length(text))
            yield pa.table([batch["id"], title, text], schema=PASSAGES)

    def facts(self) -> Mapping[str, Any]:
        return {
            "passages": self.rows,
            "empty_passages": self.empty,
            "replaced_characters": self.replaced,
            "mean_passage_characters": round(self.characters / max(self.rows, 1), 1),
        }


def _query_facts(selection: Selection) -> Mapping[str, Any]:
    return {
        "queries": {role: len(rows) for role, rows in selection.queries.items()},
        "judgements": {role: len(rows) for role, rows in selection.judgements.items()},
        "replaced_characters_in_queries": sum(_sum(rows["replaced"]) for rows in selection.queries.values()),
    }


def _sum(values: pa.Array | pa.ChunkedArray) -> int:
    return pc.sum(values).as_py() or 0
