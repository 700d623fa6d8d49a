"""A mix of three training queries, on tables held in memory."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from syneg import rejection, schemas
from syneg.mix import stage
from syneg.on_ray.workers import InProcess
from syneg.settings.mine import MineConfig
from syneg.settings.mix import MixConfig
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs
from tests.memory import MemoryTable, rows_of

NO_ATTRIBUTES = {"domain": "", "difficulty": "", "length": "", "reasoning": "", "prompt_version": "", "model": ""}


SCORED = ("query_id", "passage_id", "sampler", "rank", "score", "positive_score", "margin", "reject_reason")


def table(schema: pa.Schema, rows: list[tuple], names: Sequence[str] = ()) -> MemoryTable:
    records = [dict(zip(names or schema.names, row, strict=True)) for row in rows]
    return MemoryTable(pa.Table.from_pylist(records, schema=schema))


def written(negative_id: str, query_id: str, positive_id: str, text: str, reason: str | None) -> dict:
    row = {"negative_id": negative_id, "query_id": query_id, "positive_id": positive_id, "text": text}
    return row | NO_ATTRIBUTES | {"seed": 0, "input_tokens": 1, "output_tokens": 1, "reject_reason": reason}


def inputs() -> Inputs:
    passages = [(f"p{row}", "", f"passage {row}") for row in range(8)] + [("p8", "", ""), ("p9", "", "Passage  1")]
    queries = [("q0", "zero", "train"), ("q1", "one", "train"), ("q2", "two", "train"), ("q3", "three", "test")]
    qrels = [("q0", "p0", 1), ("q0", "p1", 2), ("q1", "p2", 1), ("q2", "p8", 1), ("q3", "p3", 1), ("q1", "p4", 0)]
    candidates = [
        ("q0", "p1", "dense", 0, 0.9, 0.8, None, "positive"),
        ("q0", "p9", "dense", 1, 0.8, 0.8, None, None),  # the same text as p1, which the miner should have caught
        ("q0", "p3", "dense", 2, 0.7, 0.8, None, None),
        ("q0", "p4", "bm25", 0, 7.0, None, None, None),
        ("q0", "p5", "bm25", 1, 6.0, None, None, None),
        ("q1", "p5", "dense", 0, 0.7, 0.8, None, None),
        ("q2", "p5", "dense", 0, 0.7, 0.8, None, None),
    ]
    synthetic = [
        written("s0", "q0", "p0", "written for zero", None),
        written("s1", "q0", "p1", "too much like gold", "copies_positive"),
        written("s2", "q1", "p2", "written for one", None),
    ]
    return Inputs(
        {
            "passages": table(schemas.PASSAGES, passages),
            "queries": table(schemas.QUERIES, queries),
            "qrels": table(schemas.QRELS, qrels),
            "candidates": table(schemas.CANDIDATES, candidates, SCORED),
            "synthetic": MemoryTable(pa.Table.from_pylist(synthetic, schema=schemas.SYNTHETIC)),
            "positives": table(schemas.POSITIVES, []),
        }
    )


def mixed(inputs: Inputs, tmp_path: Path, **settings: object) -> tuple[dict[tuple[str, str], dict], dict]:
    mix = MixConfig.model_validate({"synthetic_per_instance": 1, "retrieved_per_instance": 1} | settings)
    output = stage.run(inputs, Context(ResourcesConfig(), tmp_path, workers=InProcess()), mine=MineConfig(), mix=mix)
    rows = schemas.conform(rows_of(output, "instances"), schemas.INSTANCES).to_pylist()
    assert output.rows_in == len(rows)
    assert {row["reject_reason"] for row in rows} <= {None, *rejection.REASONS["instances"]}
    return {(row["query_id"], row["positive_id"]): row for row in rows}, dict(output.facts())


PAIRS = [("q0", "p0"), ("q0", "p1"), ("q1", "p2")]  # those whose positive is not empty


def ids(row: dict) -> list[str]:
    return [negative["id"] for negative in row["negatives"]]
