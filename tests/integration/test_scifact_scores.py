"""BM25 on the whole of SciFact against the published value."""

from pathlib import Path

import pyarrow.compute as pc
import pytest

from syneg.corpus import stage
from syneg.evaluate import metrics
from syneg.search.bm25 import Bm25Index
from syneg.settings.corpus import CorpusConfig
from syneg.settings.mine import Bm25Config
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs
from tests.memory import rows_of


def test_bm25_reaches_the_published_value(scifact: Path, tmp_path: Path) -> None:
    corpus = CorpusConfig(source="beir", path=str(scifact))
    output = stage.run(Inputs({}), Context(ResourcesConfig(), tmp_path), corpus=corpus)
    queries, qrels, passages = (rows_of(output, name) for name in ("queries", "qrels", "passages"))
    test = queries.filter(pc.field("split") == "test")
    index = Bm25Index.build([passages], Bm25Config())
    ranking = index.top_k(test["query_id"].to_pylist(), test["text"].to_pylist(), 100)
    judged = qrels.filter(pc.field("query_id").isin(test["query_id"].combine_chunks()))
    scores = metrics.per_query(ranking, judged, ("nDCG@10",))
    assert scores.num_rows == 300
    assert scores["value"].to_numpy().mean() == pytest.approx(0.672, abs=0.01)
