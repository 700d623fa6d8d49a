"""Which passages answer a query: what answers its text answers it, under every id that the text is asked by."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from syneg.stage import Source
from syneg.texts import normalized

RELEVANT = pc.field("relevance") > 0

_KEYS = ["query_id", "passage_id"]


def of_split(tables: Mapping[str, Source], split: str) -> tuple[pa.Table, pa.Table]:
    """query_id and text of a split's queries, in the order of their ids, and what was judged of them.

    Each has a passage that is `RELEVANT`: the corpus keeps no others.
    """
    queries = tables["queries"].where("split", [split], ["query_id", "text"]).sort_by("query_id")
    return queries, tables["qrels"].where("query_id", queries["query_id"].to_pylist())


def by_text(queries: pa.Table, judged: pa.Table) -> pa.Table:
    """Distinct query_id and passage_id, in the order of both.

    `queries`: query_id and text. `judged`: query_id and passage_id of what was judged to answer one of them.
    """
    texts = pa.array(list(map(normalized, queries["text"].to_pylist())), pa.string())
    asked = pa.table([queries["query_id"], texts], names=["query_id", "text"])
    answered = asked.join(judged.select(_KEYS), "query_id", join_type="inner").select(["text", "passage_id"])
    pairs = asked.join(answered, "text", join_type="inner").group_by(_KEYS).aggregate([])
    return pairs.sort_by([(key, "ascending") for key in _KEYS])
