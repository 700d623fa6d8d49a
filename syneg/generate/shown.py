"""The passages that the LLM is shown: the positive and, where asked for, a mined one as an example of the style."""

from dataclasses import dataclass

import pyarrow as pa

from syneg.passages import texts_by_id
from syneg.schemas import ACCEPTED
from syneg.stage import Source


@dataclass(frozen=True)
class Shown:
    """Where their texts come from."""

    passages: Source
    candidates: Source | None = None  # None: no example of the style

    def texts(self, pairs: pa.Table) -> list[dict[str, str]]:
        """Rows of `pairs` with the texts `positive` and `example`. One pass over each table.

        `example` is the best candidate of the query that mining kept, so none of its positives; "" where there is none.
        """
        examples = _best(self.candidates, pairs["query_id"].unique().to_pylist()) if self.candidates else {}
        wanted = {*pairs["positive_id"].to_pylist(), *examples.values()}
        texts = texts_by_id(self.passages, sorted(wanted))
        return [
            pair
            | {
                "positive": texts[pair["positive_id"]],
                "example": texts[examples[pair["query_id"]]] if pair["query_id"] in examples else "",
            }
            for pair in pairs.to_pylist()
        ]


def _best(candidates: Source, query_ids: list[str]) -> dict[str, str]:
    """By query the passage_id of the candidate with the highest rank, of whichever sampler, that was not rejected."""
    columns = ["query_id", "passage_id", "sampler", "rank", "reject_reason"]
    kept = candidates.where("query_id", query_ids, columns).filter(ACCEPTED)
    order = [(name, "descending") for name in ("rank", "sampler", "passage_id")]  # 0 is the highest, and comes last
    kept = kept.sort_by(order)
    return dict(zip(kept["query_id"].to_pylist(), kept["passage_id"].to_pylist(), strict=True))
