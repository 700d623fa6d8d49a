"""What to read."""

from typing import Annotated, Literal

from pydantic import NonNegativeInt, PositiveInt
from pydantic import model_validator as _check

from syneg.settings.section import Content, Section

DEV = "dev"


class CorpusConfig(Section):
    """Passages, queries and relevance judgements.

    With `max_passages` the judged passages of the kept queries come first, then others in the order of a hash of their
    ids: a quick look at a collection, whose scores are not the collection's.
    """

    source: Literal["beir", "msmarco", "stdlib"] = "beir"
    path: Annotated[str | None, Content("input")] = None
    split: str | None = "train"  # the judgements to train on: qrels/{split}.tsv; None: just to be evaluated on
    dev_split: str | None = DEV  # another name than this one has to be there; None: no dev queries
    test_split: str = "test"
    max_passages: PositiveInt | None = None
    max_queries: PositiveInt | None = None
    max_dev_queries: PositiveInt | None = None
    max_test_queries: PositiveInt | None = None
    on_missing: Literal["refuse", "drop"] = "refuse"  # a judgement of a passage or query that does not exist
    seed: NonNegativeInt = 0

    @_check(mode="after")
    def _has_its_parts(self) -> "CorpusConfig":
        if self.source != "stdlib" and self.path is None:
            raise ValueError(f"corpus.path is missing: corpus.source={self.source} reads a folder")
        if self.source == "stdlib" and self.path is not None:
            raise ValueError("corpus.path is given, but corpus.source=stdlib is harvested from Python itself")
        named = [split for split in (self.split, self.dev_split, self.test_split) if split is not None]
        if len(set(named)) < len(named):
            raise ValueError(
                "corpus.split, corpus.dev_split and corpus.test_split must differ: training data may not be test data. "
                f"Seen: corpus.split={self.split}, corpus.dev_split={self.dev_split}, corpus.test_split="
                f"{self.test_split}. For a collection without judgements to train on give corpus.split=null"
            )
        return self
