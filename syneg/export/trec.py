"""Rankings and judgements as trec_eval reads them: `query Q0 passage rank score tag`, `query 0 passage relevance`."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syneg.errors import BadInput
from syneg.schemas import ACCEPTED
from syneg.stage import Source
from syneg.store import files

_IDS = ("query_id", "passage_id")


def write(tables: Mapping[str, Source], name: str, out: str) -> dict[str, int]:
    """Writes runs/{system}.trec, candidates/{sampler}.trec and a qrels.{split} for every split. Returns lines by file.

    `tables`: runs, candidates, qrels, queries; `name` is the last column, which names the run. Candidates are those
    that the filters kept.

    Raises:
        BadInput: an id holds white space, which the format has no way to write. Nothing was written.
    """
    for table in ("runs", "candidates", "qrels"):  # half a folder would be in the next attempt's way
        reason = ["reject_reason"] if table == "candidates" else []
        for block in tables[table].blocks([*_IDS, *reason]):
            _check_ids(_kept(block), table)
    written: dict[str, int] = {}
    for table, column in (("runs", "system"), ("candidates", "sampler")):
        for key in _distinct(tables[table], column):
            path = f"{table}/{key}.trec"
            written[path] = ranking(tables[table], column, key, f"{name}-{key}", files.join(out, path))
    for split in _distinct(tables["queries"], "split"):
        written[f"qrels.{split}"] = judgements(tables, split, files.join(out, f"qrels.{split}"))
    return written


def ranking(source: Source, column: str, key: str, tag: str, path: str) -> int:
    """Writes the rows of `source` (`schemas.RUNS` or CANDIDATES) whose `column` is `key`. Returns the lines.

    Raises:
        BadInput: an id holds white space, which the format has no way to write.
    """
    return _put(path, _ranked(source, column, key, tag))


def judgements(tables: Mapping[str, Source], split: str, path: str) -> int:
    """Writes the judgements of one split. `tables`: qrels, queries. Returns the lines. Raises as `ranking`."""
    return _put(path, _judged(tables, split))


def _distinct(source: Source, column: str) -> list[str]:
    return sorted({value for block in source.blocks([column]) for value in block[column].unique().to_pylist()})


def _put(path: str, blocks: Iterator[pa.Table]) -> int:
    """Writes the rows of `blocks`, whose columns are the file's, and returns how many."""
    count = 0

    def chunks() -> Iterator[bytes]:
        nonlocal count
        for block in blocks:
            count += block.num_rows
            _check_ids(block, path)
            columns = [block[name].to_pylist() for name in block.column_names]
            yield "".join(" ".join(map(str, row)) + "\n" for row in zip(*columns, strict=True)).encode()

    files.put_chunks(path, chunks())
    return count


def _check_ids(block: pa.Table, place: str) -> None:
    for column in _IDS:
        ids = block[column]
        spaced = ids.filter(pc.call_function("match_substring_regex", [ids], pc.MatchSubstringOptions(r"\s")))
        if len(spaced):
            raise BadInput(
                f"{place}: the {column} {spaced[0].as_py()!r} holds white space, which TREC's format cannot write. "
                "Give the collection ids without any and run it again; the other formats take ids as they are."
            )


def _kept(block: pa.Table) -> pa.Table:
    """The rows that no filter rejected, of a table in which one can."""
    return block.filter(ACCEPTED) if "reject_reason" in block.column_names else block


def _ranked(source: Source, column: str, key: str, tag: str) -> Iterator[pa.Table]:
    """Ranks count from 1. Readers sort by score, so a sampler without scores gives the negated rank."""
    last = ("", np.inf)  # a query may go on in the next block
    for block in source.blocks():
        own = _kept(block.filter(pc.field(column) == key))
        ranks = own["rank"].to_pylist()
        query_ids = own["query_id"].to_pylist()
        scores = _falling(last, query_ids, ranks, own["score"].to_pylist())
        last = (query_ids[-1], scores[-1]) if scores else last
        yield pa.table(
            {
                "query_id": own["query_id"],
                "q0": pa.array(["Q0"] * own.num_rows, pa.string()),
                "passage_id": own["passage_id"],
                "rank": pa.array([rank + 1 for rank in ranks], pa.int32()),
                "score": pa.array(scores, pa.float64()),
                "tag": pa.array(["_".join(tag.split())] * own.num_rows, pa.string()),
            }
        )


def _falling(
    last: tuple[str, float], query_ids: Sequence[str], ranks: Sequence[int], scores: Sequence[float | None]
) -> list[float]:
    """The scores, of equal ones within a query the later a trifle lower: readers put equal ones in an order of their
    own, and would measure something else. Rows of a query are together, best first. `last`: query and score of the
    row before these."""
    falling: list[float] = []
    for query_id, rank, score in zip(query_ids, ranks, scores, strict=True):
        value = -float(rank) if score is None else score
        if query_id == last[0] and value >= last[1]:
            value = float(np.nextafter(np.float32(last[1]), np.float32(-np.inf)))
        last = (query_id, value)
        falling.append(value)
    return falling


def _judged(tables: Mapping[str, Source], split: str) -> Iterator[pa.Table]:
    queries = tables["queries"].where("split", [split], ["query_id", "split"])
    for block in tables["qrels"].blocks():
        own = block.filter(pc.field("query_id").isin(queries["query_id"].combine_chunks()))
        iteration = pa.array([0] * own.num_rows, pa.int32())
        yield own.select(["query_id", "passage_id", "relevance"]).add_column(1, "iteration", iteration)
