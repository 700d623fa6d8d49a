"""How models do on collections: their scores query by query, which of them differ, and the files that say so."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from syneg import schemas
from syneg.differences import counted, counted_comparisons, power_of
from syneg.errors import BadInput
from syneg.evaluate.scores import values_of
from syneg.experiment.analysis import Comparison, Named, compared
from syneg.experiment.evaluation import BM25, ModelOnCollection
from syneg.export import trec
from syneg.pipeline.run import Run
from syneg.report import environment
from syneg.store import files, layout

_KNOWN_AS = {"score": "model", "score_bm25": "bm25"}  # in the tables of these stages
_SCORES = pa.schema([pa.field("collection", pa.string(), nullable=False), *schemas.SCORES])


@dataclass(frozen=True)
class Standing:
    """Every system on the Q queries of one collection, BM25 last."""

    queries: tuple[str, ...]
    values: Mapping[str, Mapping[str, np.ndarray]]  # scores [Q] by system and measure
    comparisons: Sequence[Comparison]  # of every two models, the base first


@dataclass(frozen=True)
class Standings:
    """All collections. Models are compared by the first measure."""

    measures: tuple[str, ...]
    collections: Mapping[str, Standing]

    @property
    def measure(self) -> str:
        return self.measures[0]

    def by_collection(self) -> dict[str, list[float]]:
        """By system its means by the first measure, in the order of the collections."""
        systems = next(iter(self.collections.values())).values
        return {
            system: [float(standing.values[system][self.measure].mean()) for standing in self.collections.values()]
            for system in systems
        }

    def power(self) -> Iterator[str]:
        """The smallest gain that can be seen on each collection, to be read before any difference."""
        count = sum(len(standing.comparisons) for standing in self.collections.values())
        for name, standing in self.collections.items():
            gains = [comparison.detectable for comparison in standing.comparisons]
            if gains:
                queries = len(standing.queries)
                seen = (min(gains), max(gains))
                tested = f"{counted(queries, 'query')} and {counted_comparisons(count)}"
                yield f"{name}: {power_of(tested, queries, count, seen, self.measure)}"


def gather(asked: Sequence[ModelOnCollection], runs: Sequence[Run]) -> Standings:
    """Reads the scores and compares every two models of a collection; Holm's correction is over all collections."""
    evaluate = asked[0].config.evaluate
    values: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    queries: dict[str, tuple[str, ...]] = {}
    for each, run in zip(asked, runs, strict=True):
        own = values.setdefault(each.collection, {})
        for system, stage in _stages(each, run):
            scores = run.table(stage, "scores").table()
            queries[each.collection] = tuple(sorted(scores["query_id"].unique().to_pylist()))
            own[system] = {measure: values_of(scores, _KNOWN_AS[stage], measure) for measure in evaluate.measures}
    pairs: dict[tuple[str, int], tuple[Named, Named]] = {}
    for collection, systems in values.items():
        models = [(name, of[evaluate.measures[0]]) for name, of in systems.items() if name != BM25]
        pairs |= {(collection, number): pair for number, pair in enumerate(combinations(models, 2))}
        if BM25 in systems:
            systems[BM25] = systems.pop(BM25)
    found = dict(zip(pairs, compared(list(pairs.values()), evaluate.seed), strict=True))
    return Standings(
        evaluate.measures,
        {
            collection: Standing(
                queries[collection], systems, [one for (of, _), one in found.items() if of == collection]
            )
            for collection, systems in values.items()
        },
    )


def publish(
    asked: Sequence[ModelOnCollection], runs: Sequence[Run], standings: Standings, out: str
) -> tuple[str, list[str]]:
    """Writes scores.parquet, evaluation.json, and last runs/COLLECTION/MODEL.trec with qrels.test beside.

    Returns the path of evaluation.json, and why TREC files are missing: an id holds white space, which that format
    has no way to write.
    """
    tables = []
    for each, run in zip(asked, runs, strict=True):
        for system, stage in _stages(each, run):
            scores = run.table(stage, "scores").table()
            count = scores.num_rows
            named = {"collection": [each.collection] * count, "system": [system] * count}
            columns = named | {name: scores[name] for name in ("measure", "query_id", "value")}
            tables.append(pa.table(columns, schema=_SCORES))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables(tables), sink, compression="zstd")
    files.put(files.join(out, "scores.parquet"), sink.getvalue().to_pybytes())
    record = files.join(out, layout.EVALUATION)
    files.put(record, json.dumps(_summary(asked, runs, standings), indent=1, ensure_ascii=False).encode())
    lacking = []
    for each, run in zip(asked, runs, strict=True):
        try:
            _write_runs(each, run, files.join(out, "runs", each.collection))
        except BadInput as error:
            lacking.append(str(error))
    return record, lacking


def _write_runs(asked: ModelOnCollection, run: Run, folder: str) -> None:
    for system, stage in _stages(asked, run):
        tag, path = f"{asked.config.name}-{system}", files.join(folder, f"{system}.trec")
        trec.ranking(run.table(stage, "runs"), "system", _KNOWN_AS[stage], tag, path)
    judged = {name: run.table("corpus", name) for name in ("queries", "qrels")}
    trec.judgements(judged, "test", files.join(folder, "qrels.test"))


def _stages(asked: ModelOnCollection, run: Run) -> Iterator[tuple[str, str]]:
    """The systems that were scored in one run, each with its stage."""
    yield asked.model, "score"
    if "score_bm25" in run.manifests:
        yield BM25, "score_bm25"


def _summary(asked: Sequence[ModelOnCollection], runs: Sequence[Run], standings: Standings) -> dict[str, Any]:
    """The content of evaluation.json: JSON values only."""
    return {
        "evaluation": asked[0].config.name,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "measures": list(standings.measures),
        "power": list(standings.power()),
        "models": {each.model: each.config.encoder.model_dump(mode="json") for each in asked},
        "collections": {
            name: {
                "corpus": next(each for each in asked if each.collection == name).config.corpus.model_dump(mode="json"),
                "queries": len(standing.queries),
                "scores": {
                    system: {measure: float(scores.mean()) for measure, scores in values.items()}
                    for system, values in standing.values.items()
                },
                "comparisons": [one.summary() for one in standing.comparisons],
            }
            for name, standing in standings.collections.items()
        },
        # What `syneg gc` keeps for this record.
        "outputs": sorted({f"{made.stage}/{made.fingerprint}" for run in runs for made in run.manifests.values()}),
        "machine": environment.machine(),
        "versions": environment.versions(),
    }
