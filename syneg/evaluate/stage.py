"""Rankings of the whole corpus for the test queries, and their scores: those of a run, or those of one model alone."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syneg import schemas
from syneg.evaluate import leaks, metrics, significance
from syneg.evaluate.scores import values_of
from syneg.positives import RELEVANT, of_split
from syneg.search import dense
from syneg.search.bm25 import Bm25Index
from syneg.settings.evaluate import EvaluateConfig
from syneg.settings.mine import Bm25Config
from syneg.stage import Context, Inputs, Output, Source
from syneg.texts import passage_text

Search = Callable[[pa.Table, int], pa.Table]
"""From queries (`schemas.QUERIES`) and k to the first k passages of each (`schemas.RANKING`)."""

_VECTORS = {
    "base": ("query_vectors", "passage_vectors"),
    "tuned": ("tuned_query_vectors", "tuned_passage_vectors"),
    "adore": ("adore_query_vectors", "passage_vectors"),  # the query encoder alone has learnt; where a run trains it
}


def run(inputs: Inputs, context: Context, *, bm25: Bm25Config, evaluate: EvaluateConfig) -> Output:
    """Base, tuned, BM25 and, where it was trained, ADORE's query encoder."""
    tables = inputs.tables
    test = _Test.of(tables)
    searches = {name: _encoder_search(tables, name) for name, (vectors, _) in _VECTORS.items() if vectors in tables}
    if evaluate.bm25:
        searches["bm25"] = _bm25_search(tables["passages"], bm25)
    runs, scores = test.scored(searches, evaluate, context)
    context.progress("looking for test texts among those trained on")
    seen = leaks.find(
        _test_texts(test.queries, test.qrels, tables["passages"]),
        leaks.trained_on(tables["instances"].blocks()),
        evaluate.leak_similarity,
    )
    facts = summary(scores, evaluate.measures, evaluate.seed) | {
        "queries": test.queries.num_rows,
        "leaks": leaks.summary(seen),
    }
    return test.output({"runs": runs, "scores": scores, "leaks": seen}, facts)


def score(inputs: Inputs, context: Context, *, evaluate: EvaluateConfig) -> Output:
    """One model, by its vectors: the system is called "model"."""
    test = _Test.of(inputs.tables)
    runs, scores = test.scored({"model": _encoder_search(inputs.tables, "base")}, evaluate, context)
    return test.output({"runs": runs, "scores": scores}, {"queries": test.queries.num_rows})


def score_bm25(inputs: Inputs, context: Context, *, bm25: Bm25Config, evaluate: EvaluateConfig) -> Output:
    """BM25 alone."""
    test = _Test.of(inputs.tables)
    runs, scores = test.scored({"bm25": _bm25_search(inputs.tables["passages"], bm25)}, evaluate, context)
    return test.output({"runs": runs, "scores": scores}, {"queries": test.queries.num_rows})


@dataclass(frozen=True)
class _Test:
    """The test queries, one or more, and their judgements."""

    queries: pa.Table
    qrels: pa.Table

    @classmethod
    def of(cls, tables: Mapping[str, Source]) -> "_Test":
        return cls(*of_split(tables, "test"))

    def scored(
        self, searches: Mapping[str, Search], evaluate: EvaluateConfig, context: Context
    ) -> tuple[pa.Table, pa.Table]:
        """`schemas.RUNS` and `schemas.SCORES` of every system.

        As in BEIR's evaluation a passage with the query's own id is not ranked for it (ArguAna's queries are passages),
        unless it is judged relevant: in other collections that it shares the id is chance.
        """
        runs, scores = [], []
        for system, search in searches.items():
            context.progress(f"{system}: ranking the corpus for {self.queries.num_rows} queries")
            ranking = without_own_passage(search(self.queries, evaluate.depth + 1), self.qrels, evaluate.depth)
            runs.append(_of_system(system, ranking))
            scores.append(_of_system(system, metrics.per_query(ranking, self.qrels, evaluate.measures)))
        return pa.concat_tables(runs), pa.concat_tables(scores)

    def output(self, tables: Mapping[str, pa.Table], facts: Mapping[str, Any]) -> Output:
        asked = self.queries.num_rows
        return Output(rows_in=asked, rows_out=asked, tables=tables, facts=lambda: facts)


def _test_texts(queries: pa.Table, qrels: pa.Table, passages: Source) -> list[leaks.Text]:
    relevant = qrels.filter(RELEVANT)["passage_id"].unique().to_pylist()
    asked = [leaks.Text("test_query", row["query_id"], row["text"]) for row in queries.to_pylist()]
    answers = passages.where("passage_id", relevant).to_pylist()
    return asked + [
        leaks.Text("test_positive", row["passage_id"], passage_text(row["title"], row["text"])) for row in answers
    ]


def without_own_passage(ranking: pa.Table, qrels: pa.Table, depth: int) -> pa.Table:
    """`ranking` without passages that have their query's id and are not relevant, ranks closed up, cut at `depth`."""
    is_own = pc.field("query_id") == pc.field("passage_id")
    answering = qrels.filter(is_own & RELEVANT)["query_id"].combine_chunks()
    kept = ranking.filter(~is_own | pc.field("query_id").isin(answering))
    kept = kept.sort_by([("query_id", "ascending"), ("rank", "ascending")])
    query_of = kept["query_id"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    ranks = np.arange(len(query_of)) - np.searchsorted(query_of, query_of)  # sorted, so codes are in order
    place = kept.schema.get_field_index("rank")
    kept = kept.set_column(place, kept.schema.field(place), pa.array(ranks, pa.int32()))
    return kept.filter(pa.array(ranks < depth))


def summary(scores: pa.Table, measures: tuple[str, ...], seed: int) -> dict[str, Any]:
    """Means by system, and tuned against base by measure, from `schemas.SCORES`."""
    systems = scores["system"].unique().to_pylist()
    values = {(system, measure): values_of(scores, system, measure) for system in systems for measure in measures}
    return {
        "measures": list(measures),
        "scores": {
            system: {measure: float(values[system, measure].mean()) for measure in measures} for system in systems
        },
        "differences": {
            measure: asdict(significance.paired(values["base", measure], values["tuned", measure], seed=seed))
            for measure in measures
        },
    }


def _encoder_search(tables: Mapping[str, Source], system: str) -> Search:
    query_vectors, passage_vectors = (tables[name] for name in _VECTORS[system])

    def search(queries: pa.Table, k: int) -> pa.Table:
        vectors = query_vectors.where("id", queries["query_id"].to_pylist())
        return dense.top_k(vectors, passage_vectors.blocks(), k)

    return search


def _bm25_search(passages: Source, settings: Bm25Config) -> Search:
    def search(queries: pa.Table, k: int) -> pa.Table:
        index = Bm25Index.build(passages.blocks(), settings)
        return index.top_k(queries["query_id"].to_pylist(), queries["text"].to_pylist(), k)

    return search


def _of_system(system: str, table: pa.Table) -> pa.Table:
    """`table` with its system's name in front."""
    return table.add_column(0, schemas.RUNS.field("system"), pa.array([system] * table.num_rows, pa.string()))
