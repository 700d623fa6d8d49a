"""What answers each query, by a loop."""

from syneg.stage import Inputs
from syneg.texts import normalized


def answers(inputs: Inputs) -> set[tuple[str, str]]:
    """Pairs of a query and a positive of any query with its text."""
    queries, qrels = (inputs.tables[name].table().to_pylist() for name in ("queries", "qrels"))
    text = {row["query_id"]: normalized(row["text"]) for row in queries}
    judged = {(text[row["query_id"]], row["passage_id"]) for row in qrels if row["relevance"] > 0}
    return {(query, passage) for query, own in text.items() for asked, passage in judged if asked == own}
