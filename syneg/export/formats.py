"""One training instance as other libraries read it: pure functions from a row of the instances table to a record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]  # of schemas.INSTANCES


@dataclass(frozen=True)
class Layout:
    """What every record of an export has in common."""

    negatives: int  # of each instance
    query_prompt: str = ""
    teacher: bool = False  # whether a cross-encoder scored every passage of every instance


def sentence_transformers(row: Row, layout: Layout) -> dict[str, str]:
    """Columns anchor, positive, negative_1, ... in the order in which the losses of sentence-transformers take them.

    Nothing else may stand beside them: every column is an input. Prompts are an argument of its trainer (`prompts`).
    """
    negatives = {f"negative_{place}": one["text"] for place, one in enumerate(row["negatives"], start=1)}
    return {"anchor": row["query"], "positive": row["positive"], **negatives}


def flagembedding(row: Row, layout: Layout) -> dict[str, Any]:
    """query, pos, neg, prompt as FlagEmbedding's AbsEmbedderTrainDataset reads them (1.4).

    `prompt` goes over its --query_instruction_for_retrieval, so it is there only where the run's encoder has one.
    pos_scores and neg_scores, which its --knowledge_distillation reads, are a cross-encoder's: there only where one
    scored every passage (`mine.cross_encoder`, and no synthetic negative). A sampler's score is on no common scale.
    """
    negatives = row["negatives"]
    record = {"query": row["query"], "pos": [row["positive"]], "neg": [one["text"] for one in negatives]}
    if layout.teacher:
        record["pos_scores"] = [row["positive_cross_score"]]
        record["neg_scores"] = [one["cross_score"] for one in negatives]
    return record | ({"prompt": layout.query_prompt} if layout.query_prompt else {})


def tevatron(row: Row, layout: Layout) -> dict[str, Any]:
    """query_id, query, positive_passages, negative_passages as Tevatron's TrainDataset reads them.

    Passages have no `title`: it stands in their text already, and Tevatron would put it there again.
    """
    return {
        "query_id": row["query_id"],
        "query": row["query"],
        "positive_passages": [{"docid": row["positive_id"], "text": row["positive"]}],
        "negative_passages": [{"docid": one["id"], "text": one["text"]} for one in row["negatives"]],
    }


FORMATS: dict[str, Callable[[Row, Layout], dict[str, Any]]] = {
    "sentence-transformers": sentence_transformers,
    "flagembedding": flagembedding,
    "tevatron": tevatron,
}
