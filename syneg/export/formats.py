"""One training instance as other libraries read it: pure functions from a row of the instances table to a record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Row = Mapping[str, Any]  # of schemas.INSTANCES
Record = dict[str, Any]


@dataclass(frozen=True)
class Format:
    """How a library reads instances: JSON Lines, or Parquet if `in_columns`, with a text in every column of a row.

    `empty`: how many instances without negatives its reader takes: some, all of a file or none; `note` is for a file of
    them. `scores` are added to every record where a cross-encoder scored every passage of every instance, and the
    encoder's prompt for queries, if it has one, under the key `prompt` (none: "").
    """

    record: Callable[[Row], Record]
    scores: Callable[[Row], Record] | None = None
    prompt: str = ""
    in_columns: bool = False
    empty: Literal["some", "all", "none"] = "none"
    note: str = ""


def sentence_transformers(row: Row) -> Record:
    """Columns anchor, positive, negative_1, ... in the order in which the losses of sentence-transformers take them.

    Nothing else may be beside them: every column is an input. Prompts are an argument of its trainer (`prompts`).
    """
    negatives = {f"negative_{place}": one["text"] for place, one in enumerate(row["negatives"], start=1)}
    return {"anchor": row["query"], "positive": row["positive"], **negatives}


def flagembedding(row: Row) -> Record:
    """query, pos, neg as FlagEmbedding's AbsEmbedderTrainDataset reads them (1.4).

    Its prompt goes over its --query_instruction_for_retrieval, so it is there only where the run's encoder has one.
    """
    return {"query": row["query"], "pos": [row["positive"]], "neg": [one["text"] for one in row["negatives"]]}


def flagembedding_scores(row: Row) -> Record:
    """pos_scores and neg_scores, which its --knowledge_distillation reads: a cross-encoder's (`mine.cross_encoder`, and
    no synthetic negative). A sampler's score is on no common scale."""
    scores = [one["cross_score"] for one in row["negatives"]]
    return {"pos_scores": [row["positive_cross_score"]], "neg_scores": scores}


def tevatron(row: Row) -> Record:
    """query_id, query, positive_passages, negative_passages as Tevatron's TrainDataset reads them.

    Passages have no `title`: it is in their text already, and Tevatron would put it there again.
    """
    return {
        "query_id": row["query_id"],
        "query": row["query"],
        "positive_passages": [{"docid": row["positive_id"], "text": row["positive"]}],
        "negative_passages": [{"docid": one["id"], "text": one["text"]} for one in row["negatives"]],
    }


FORMATS: dict[str, Format] = {
    "sentence-transformers": Format(sentence_transformers, in_columns=True, empty="some"),
    "flagembedding": Format(
        flagembedding,
        scores=flagembedding_scores,
        prompt="prompt",
        empty="all",
        note="FlagEmbedding reads them with --train_group_size 1 alone, which takes no negatives.",
    ),
    "tevatron": Format(tevatron),
}
