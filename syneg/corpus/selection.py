"""From a collection to what a run uses: queries that can be trained or tested on, within the limits.

Everything is checked before the first row is given: the passages are read once for their ids, and again as rows.
"""

# Arrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from syneg.corpus import beir, checks, msmarco, stdlib
from syneg.corpus.collection import JUDGEMENTS, Collection
from syneg.corpus.sources import ROLES
from syneg.errors import BadInput
from syneg.settings.corpus import CorpusConfig

_READERS = {"beir": beir.read, "msmarco": msmarco.read, "stdlib": stdlib.read}


@dataclass(frozen=True)
class Selection:
    """`rows_in` is passages, queries and judgements together, and so is what `rejected` counts by reason."""

    collection: Collection
    queries: Mapping[str, pa.Table]  # by role, RECORDS
    judgements: Mapping[str, pa.Table]  # by role, JUDGEMENTS; no query is in two of them
    kept_passages: npt.NDArray[np.bool_]  # by row of the collection
    rows_in: int
    rejected: Mapping[str, int]

    def passages(self) -> Iterator[pa.RecordBatch]:
        """The kept passages as RECORDS, in the order of their file."""
        start = 0
        for batch in self.collection.passages():
            kept = self.kept_passages[start : start + batch.num_rows]
            start += batch.num_rows
            yield batch if kept.all() else batch.filter(pa.array(kept))


def select(corpus: CorpusConfig, progress: Callable[[str], None]) -> Selection:
    """Reads and checks the whole collection.

    Memory is the ids of the passages with 9 bytes each beside, the queries and the judgements.

    Raises:
        BadInput: a file or row is not as it should be, or no query is left to train or to test on.
    """
    collection = _READERS[corpus.source](corpus)
    passage_ids, blank = checks.passage_ids(collection, progress)
    rejected = Counter(collection.rejected)
    rows_in = len(passage_ids) + len(collection.queries) + rejected.total()
    rows_in += sum(len(each.rows) for each in collection.judgements.values())
    # One pass with the judgements' ids in the hash table, where three with millions of passages' would be slower.
    all_named = pa.concat_tables(each.rows for each in collection.judgements.values())["passage_id"]
    named = passage_ids.filter(pc.is_in(passage_ids, value_set=all_named))
    judged = {
        role: checks.existing(each, named, collection.queries["id"], corpus.on_missing, rejected)
        for role, each in collection.judgements.items()
    }
    queries, judgements = _asked(collection.queries, _held_apart(judged, rejected), blank, corpus, rejected)
    for role in ("train", "test") if corpus.split else ("test",):
        if not len(queries[role]):
            raise BadInput(_none_left(collection.judgements[role].path, role, rejected))
    kept = _kept_passages(passage_ids, judgements, corpus)
    rejected["over_limit"] += len(kept) - int(kept.sum())
    return Selection(collection, queries, judgements, kept, rows_in, {name: n for name, n in rejected.items() if n})


def _held_apart(judged: Mapping[str, pa.Table], rejected: Counter[str]) -> dict[str, pa.Table]:
    """A query that several roles judge is test's before it is dev's, and train's last."""
    apart: dict[str, pa.Table] = {}
    taken = pa.array([], pa.string())
    for role in reversed(ROLES):
        rows = judged.get(role, JUDGEMENTS.empty_table())
        apart[role] = rows.filter(pc.invert(pc.is_in(rows["query_id"], value_set=taken)))
        rejected["held_out"] += len(rows) - len(apart[role])
        taken = pa.concat_arrays([taken, apart[role]["query_id"].unique()])
    return apart


def _asked(
    queries: pa.Table,
    judged: Mapping[str, pa.Table],
    blank: pa.ChunkedArray,
    corpus: CorpusConfig,
    rejected: Counter[str],
) -> tuple[dict[str, pa.Table], dict[str, pa.Table]]:
    """The queries and judgements of each role.

    A query that has nothing but zeros is left out, not refused: pools of graded judgements hold such queries, and they
    can neither be trained on nor scored. No more can one whose relevant passages are all `blank`, given by their ids.
    """
    limits = {"train": corpus.max_queries, "dev": corpus.max_dev_queries, "test": corpus.max_test_queries}
    asked: dict[str, pa.Table] = {}
    judgements: dict[str, pa.Table] = {}
    for role in ROLES:
        rows = judged[role]
        of_role = queries.filter(pc.is_in(queries["id"], value_set=rows["query_id"]))
        rejected["unjudged_query"] -= len(of_role)
        filled = pc.not_equal(pc.utf8_trim_whitespace(of_role["text"]), "")
        of_role, rows = _keep(of_role, rows, filled, "empty_query", rejected)
        positives = rows.filter(pc.greater(rows["relevance"], 0))
        answered = pc.is_in(of_role["id"], value_set=positives["query_id"])
        of_role, rows = _keep(of_role, rows, answered, "not_positive", rejected)
        told = positives.filter(pc.invert(pc.is_in(positives["passage_id"], value_set=blank)))
        answered = pc.is_in(of_role["id"], value_set=told["query_id"])
        of_role, rows = _keep(of_role, rows, answered, "empty_positive", rejected)
        if (limit := limits[role]) is not None:
            first = _first(_hashes(of_role["id"], corpus.seed), limit)
            of_role, rows = _keep(of_role, rows, pa.array(first), "over_limit", rejected)
        asked[role], judgements[role] = of_role, rows
    rejected["unjudged_query"] += len(queries)
    return asked, judgements


def _keep(
    queries: pa.Table, judgements: pa.Table, mask: pa.Array | pa.ChunkedArray, reason: str, rejected: Counter[str]
) -> tuple[pa.Table, pa.Table]:
    """The queries under `mask` and the judgements of those."""
    kept = queries.filter(mask)
    judged = judgements.filter(pc.is_in(judgements["query_id"], value_set=kept["id"]))
    rejected[reason] += len(queries) - len(kept) + len(judgements) - len(judged)
    return kept, judged


def _none_left(path: str, role: str, rejected: Counter[str]) -> str:
    fates = ", ".join(f"{name} {count}" for name, count in sorted(rejected.items()) if count)
    return (
        f"{path}: no {role}{'ing' if role == 'train' else ''} queries are left. Expected at least one query with a "
        f"relevance above 0 for a passage with a text; left out in the whole collection: {fates or 'nothing'}."
    )


def _kept_passages(
    passage_ids: pa.ChunkedArray, judgements: Mapping[str, pa.Table], corpus: CorpusConfig
) -> npt.NDArray[np.bool_]:
    """All within the limit; else the judged ones and others by the order of their hashes."""
    limit = corpus.max_passages
    if limit is None or limit >= len(passage_ids):
        return np.ones(len(passage_ids), dtype=bool)
    of_judged = pa.concat_tables(judgements.values())["passage_id"]
    judged = pc.is_in(passage_ids, value_set=of_judged).to_numpy()
    if judged.sum() > limit:
        raise BadInput(
            f"corpus.max_passages={limit} is less than the {judged.sum()} passages that the kept queries are judged "
            "on. Raise it, or lower corpus.max_queries, corpus.max_dev_queries and corpus.max_test_queries."
        )
    return _first(np.where(judged, 0, _hashes(passage_ids, corpus.seed)), limit)


def _first(hashes: npt.NDArray[np.uint64], count: int) -> npt.NDArray[np.bool_]:
    """A mask of the `count` smallest."""
    mask = np.zeros(len(hashes), dtype=bool)
    mask[np.argsort(hashes, kind="stable")[:count]] = True
    return mask


def _hashes(ids: pa.ChunkedArray, seed: int) -> npt.NDArray[np.uint64]:
    """64 bits an id, independent of its place."""
    key = str(seed).encode()
    digests = (
        b"".join(hashlib.blake2b(each.encode(), digest_size=8, key=key).digest() for each in chunk.to_pylist())
        for chunk in ids.chunks
    )
    parts = [np.frombuffer(digest, dtype="<u8") for digest in digests]
    return np.concatenate([np.empty(0, dtype="<u8"), *parts])  # a column without rows may have no chunk
