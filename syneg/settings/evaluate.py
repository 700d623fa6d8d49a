"""What is measured."""

import re
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt
from pydantic import model_validator as _check

from syneg.settings.section import Section, Share

MEASURE_PATTERN = r"(nDCG|MRR|Recall)@[1-9]\d*|MAP"


MEASURE_FORMS = "nDCG@k, MRR@k, Recall@k (k is the number of passages looked at, e.g. nDCG@10) or MAP"


class EvaluateConfig(Section):
    """Scores over the whole corpus, on the test queries. The first measure is the one that the verdict goes by."""

    measures: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = ("nDCG@10", "MRR@10", "Recall@100", "MAP")
    depth: PositiveInt = 1000  # passages a query that are ranked
    bm25: bool = True  # BM25 beside the encoders
    leak_similarity: Share = 0.8  # of a test text to one trained on (Jaccard of word 3-grams), from which it is listed
    seed: NonNegativeInt = 0  # of the paired test and the intervals

    @_check(mode="after")
    def _can_be_measured(self) -> "EvaluateConfig":
        if len(set(self.measures)) < len(self.measures):
            raise ValueError(f"evaluate.measures names a measure twice: {list(self.measures)}")
        for name in self.measures:
            if not re.fullmatch(MEASURE_PATTERN, name):
                raise ValueError(f"evaluate.measures: {name!r} is not a measure; expected {MEASURE_FORMS}")
            if "@" in name and int(name.partition("@")[2]) > self.depth:
                raise ValueError(f"evaluate.measures: {name} looks deeper than evaluate.depth={self.depth}")
        return self
