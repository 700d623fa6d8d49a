"""The join on Ray's workers against the same functions in this process."""

from pathlib import Path

import pyarrow as pa
import pytest

from syneg import schemas
from syneg.mix import stage
from syneg.on_ray.workers import InProcess, OnRay, Workers
from syneg.settings.mine import MineConfig, SamplerConfig
from syneg.settings.mix import MixConfig
from syneg.settings.resources import ResourcesConfig, WorkerResources
from syneg.stage import Context, Inputs
from tests.memory import MemoryTable, rows_of

QUERIES, PASSAGES = 60, 200
NO_ATTRIBUTES = {"domain": "", "difficulty": "", "length": "", "reasoning": "", "prompt_version": "", "model": ""}


def table(name: str, rows: list[dict]) -> MemoryTable:
    return MemoryTable(pa.Table.from_pylist(rows, schema=getattr(schemas, name.upper())))


def inputs() -> Inputs:
    """Every query has one or two positives, ten candidates, and a synthetic negative for two pairs in three."""
    pairs = [(query, (7 * query + place) % PASSAGES) for query in range(QUERIES) for place in range(1 + query % 2)]
    rows: dict[str, list[dict]] = {
        "passages": [{"passage_id": f"p{one}", "title": "", "text": f"passage {one}"} for one in range(PASSAGES)],
        "queries": [{"query_id": f"q{one}", "text": f"query {one}", "split": "train"} for one in range(QUERIES)],
        "qrels": [{"query_id": f"q{query}", "passage_id": f"p{one}", "relevance": 1} for query, one in pairs],
        "candidates": [
            {
                "query_id": f"q{query}",
                "passage_id": f"p{(7 * query + 11 * rank + 2) % PASSAGES}",
                "sampler": "bm25",
                "rank": rank,
                "score": 1.0,
                "positive_score": None,
                "reject_reason": "above_margin" if (query + rank) % 5 == 0 else None,
            }
            for query in range(QUERIES)
            for rank in range(10)
        ],
        "synthetic": [
            {"negative_id": f"s{query}.{one}", "query_id": f"q{query}", "positive_id": f"p{one}"}
            | {"text": f"written for {query} and {one}", "seed": 0, "input_tokens": 1, "output_tokens": 1}
            | NO_ATTRIBUTES
            | {"reject_reason": "too_short" if query % 4 == 0 else None}
            for query, one in pairs
            if query % 3
        ],
    }
    rows["positives"] = [
        {"query_id": f"q{query}", "passage_id": f"p{one}", "cross_score": query + one / 100} for query, one in pairs
    ]
    return Inputs({name: table(name, found) for name, found in rows.items()})


def mixed(workers: Workers, folder: Path, mix: MixConfig) -> tuple[pa.Table, dict]:
    mine = MineConfig(samplers={"bm25": SamplerConfig(pick="uniform")})
    output = stage.run(inputs(), Context(ResourcesConfig(), folder, workers=workers), mine=mine, mix=mix)
    return rows_of(output, "instances"), dict(output.facts())


@pytest.mark.parametrize("queries_at_once", [7, 1000])
def test_workers_change_nothing(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queries_at_once: int
) -> None:
    monkeypatch.setattr(stage, "_SHARD_QUERIES", queries_at_once)
    monkeypatch.setattr(stage, "_LENDING_QUERIES", 7)
    mix = MixConfig(strategy="synthetic_only", synthetic_per_instance=3, retrieved_per_instance=0, on_short="borrow")
    here = mixed(InProcess(), tmp_path, mix)
    assert mixed(OnRay(WorkerResources(cpus=0.5, max_workers=2), ResourcesConfig()), tmp_path, mix) == here
    assert here[0].num_rows == 90
    assert here[1]["borrowed"]["synthetic"] > 0
