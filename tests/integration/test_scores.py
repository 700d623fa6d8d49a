"""BM25 on whole collections: the known values, and our measures against pytrec_eval's."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import pytrec_eval

from syneg.corpus import stage
from syneg.evaluate import metrics
from syneg.search.bm25 import Bm25Index
from syneg.settings.corpus import CorpusConfig
from syneg.settings.mine import Bm25Config
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs
from tests.memory import rows_of

MEASURES = ("nDCG@10", "MRR@10", "Recall@100", "MAP")
Numbers = dict[str, dict[str, Any]]  # by query, by passage


@pytest.fixture(scope="module")
def ranked(scifact: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[pa.Table, pa.Table]:
    return by_bm25(scifact, tmp_path_factory.mktemp("scratch"))


def by_bm25(collection: Path, scratch: Path) -> tuple[pa.Table, pa.Table]:
    """The first 1,000 passages for each test query, and the judgements of these."""
    corpus = CorpusConfig(source="beir", path=str(collection))
    output = stage.run(Inputs({}), Context(ResourcesConfig(), scratch), corpus=corpus)
    queries, qrels, passages = (rows_of(output, name) for name in ("queries", "qrels", "passages"))
    test = queries.filter(pc.field("split") == "test")
    index = Bm25Index.build([passages], Bm25Config())
    ranking = index.top_k(test["query_id"].to_pylist(), test["text"].to_pylist(), 1000)
    return ranking, qrels.filter(pc.field("query_id").isin(test["query_id"].combine_chunks()))


def test_bm25_reaches_the_published_value(ranked: tuple[pa.Table, pa.Table]) -> None:
    scores = metrics.per_query(*ranked, ("nDCG@10",))
    assert scores.num_rows == 300
    assert scores["value"].to_numpy().mean() == pytest.approx(0.672, abs=0.01)


def test_bm25_reaches_the_known_value_of_a_collection_with_a_dev_split(nq_mini: Path, tmp_path: Path) -> None:
    scores = metrics.per_query(*by_bm25(nq_mini, tmp_path), ("nDCG@10",))
    assert scores.num_rows == 300
    assert scores["value"].to_numpy().mean() == pytest.approx(0.910, abs=0.01)


def test_measures_are_those_of_pytrec_eval(ranked: tuple[pa.Table, pa.Table]) -> None:
    """Which is given the scores of the search and orders by them itself, as others' evaluations have it do."""
    ranking, qrels = ranked
    judged, scored = by_query(qrels, "relevance"), by_query(ranking, "score")
    first_ten = by_query(ranking.filter(pc.field("rank") < 10), "score")  # it knows no cutoff for reciprocal ranks
    evaluated = pytrec_eval.RelevanceEvaluator(judged, {"ndcg_cut.10", "recall.100", "map"}).evaluate(scored)
    reciprocal = pytrec_eval.RelevanceEvaluator(judged, {"recip_rank"}).evaluate(first_ten)
    theirs = {
        "nDCG@10": {query: values["ndcg_cut_10"] for query, values in evaluated.items()},
        "MRR@10": {query: values["recip_rank"] for query, values in reciprocal.items()},
        "Recall@100": {query: values["recall_100"] for query, values in evaluated.items()},
        "MAP": {query: values["map"] for query, values in evaluated.items()},
    }
    ours: Numbers = defaultdict(dict)
    for row in metrics.per_query(ranking, qrels, MEASURES).to_pylist():
        ours[row["measure"]][row["query_id"]] = row["value"]
    for measure in MEASURES:
        assert len(ours[measure]) == 300
        assert 0 < sum(ours[measure].values()) < 300
        assert ours[measure] == pytest.approx(theirs[measure], abs=1e-4)


def by_query(table: pa.Table, column: str) -> Numbers:
    found: Numbers = defaultdict(dict)
    for row in table.to_pylist():
        found[row["query_id"]][row["passage_id"]] = row[column]
    return dict(found)
