"""A run's tables and facts as a small demo would leave them, with texts that try to break out of the page."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from syneg import schemas
from syneg.report import stage
from syneg.report.publish import RunSummary, StageSummary
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs
from tests.memory import MemoryTable

HOSTILE = (
    '</p></details><script>document.title = "owned"</script><img src=x onerror="document.title=1"> '
    "\"quoted\" 'too' & {{ 7 * 7 }}"
)
PAIRS = 60  # instances; every third was asked for a synthetic negative, every sixth got one
TEST_QUERIES = 40
STEPS = 16  # over two epochs
DEV = {
    "queries": 30,
    "passages": 400,
    "over": "the whole corpus",
    "base": 0.41,
    "best": 0.52,
    "best_step": 8,
    "chosen": 0.53,
    "merge_weight": 0.7,
    "merge_scores": {"1": 0.52, "0.7": 0.53, "0": 0.41},
}


def table(name: str, rows: list[dict[str, Any]]) -> MemoryTable:
    return MemoryTable(pa.Table.from_pylist(rows, schema=getattr(schemas, name.upper())))


def inputs() -> Inputs:
    draw = np.random.default_rng(0)
    asked, accepted = range(0, PAIRS, 3), range(0, PAIRS, 6)
    synthetic = [
        {
            "negative_id": f"n{number}",
            "query_id": f"train{number}",
            "positive_id": f"p{number}",
            "text": f"Written for {number}. {HOSTILE}",
            "domain": "Software & tools",
            "difficulty": "Intermediate",
            "length": "about as long as",
            "reasoning": f"Keeps the topic, changes the answer. {HOSTILE}",
            "prompt_version": "v1",
            "model": "tiny<model>",
            "seed": number,
            "input_tokens": 300,
            "output_tokens": 90,
            "reject_reason": None if number in accepted else ("too_short" if number % 2 else "malformed"),
        }
        for number in asked
    ]
    instances = [
        {
            "query_id": f"train{number}",
            "query": f"Query {number} {HOSTILE}",
            "positive_id": f"p{number}",
            "positive": f"def answer():\n    return {number}  # {HOSTILE}",
            "negatives": [
                {"id": f"n{number}", "text": f"Written. {HOSTILE}", "source": "synthetic", "score": None, "rank": None}
                if number in accepted
                else {"id": f"b{number}", "text": "Found instead.", "source": "bm25", "score": 9.1, "rank": 2},
                {"id": f"d{number}", "text": "Found.", "source": "dense", "score": 0.61, "rank": 5},
            ],
            "reject_reason": "too_few_retrieved" if number == PAIRS - 1 else None,
        }
        for number in range(PAIRS)
    ]
    candidates = [
        {
            "query_id": f"train{number}",
            "passage_id": f"c{rank}",
            "sampler": sampler,
            "rank": rank,
            "score": 0.5,
            "positive_score": 0.6,
            "reject_reason": {0: "positive", 1: "above_margin"}.get(rank),
        }
        for number in range(PAIRS)
        for sampler in ("bm25", "dense")
        for rank in range(8)
    ]
    metrics = [
        {
            "step": step,
            "epoch": step / (STEPS / 2),
            "loss": 2.0 / step,
            "learning_rate": 2e-5 * (1 - step / STEPS),
            "gradient_norm": 1.0,
            "queries_per_second": 12.0,
            "dev_ndcg": {7: 0.52, 15: 0.5}.get(step),
            "masses": [
                {"source": "bm25", "mass": 0.03, "negatives": 1.5},
                {"source": "synthetic", "mass": 0.01 if step < STEPS else 0.09, "negatives": 0.5},
                {"source": "in_batch", "mass": 0.2, "negatives": None},
            ],
        }
        for step in range(1, STEPS + 1)
    ]
    centres = {"positive": (0.6, 0.7), "synthetic": (0.55, 0.45), "bm25": (0.3, 0.2), "dense": (0.4, 0.3)}
    similarities = [
        {
            "step": step,
            "query_id": f"train{number}",
            "positive_id": f"p{number}",
            "text_id": f"{source}{number}",
            "source": source,
            "score": float(np.clip(draw.normal(before if step <= STEPS // 2 else after, 0.1), -1, 1)),
        }
        for step in range(1, STEPS + 1)
        for number in range(8)
        for source, (before, after) in centres.items()
    ]
    base = draw.beta(2, 1.2, TEST_QUERIES)
    gain = np.where(draw.random(TEST_QUERIES) < 0.5, 0, draw.normal(0.1, 0.2, TEST_QUERIES))
    scores = [
        {"system": system, "measure": measure, "query_id": f"test{number}", "value": float(values[number])}
        for system, values in {"base": base, "tuned": np.clip(base + gain, 0, 1)}.items()
        for measure in ("nDCG@10", "MAP")
        for number in range(TEST_QUERIES)
    ]
    queries = [
        {"query_id": f"test{number}", "text": f"Test query {number} {HOSTILE}", "split": "test"}
        for number in range(TEST_QUERIES)
    ]
    qrels = [{"query_id": f"test{n}", "passage_id": f"gold{n}", "relevance": 1} for n in range(TEST_QUERIES)]
    passages = [
        {"passage_id": f"gold{n}", "title": "Gold", "text": f"Answer {n}. {HOSTILE}"} for n in range(TEST_QUERIES)
    ]
    passages.append({"passage_id": "decoy", "title": "", "text": f"Not it. {HOSTILE}"})
    orders = {"base": ("decoy", "gold"), "tuned": ("gold", "decoy")}
    runs = [
        {"system": system, "query_id": f"test{n}", "passage_id": f"{name}{n}" if name == "gold" else name} | place
        for system, order in orders.items()
        for n in range(TEST_QUERIES)
        for name, place in zip(order, ({"rank": 0, "score": 0.9}, {"rank": 1, "score": 0.8}), strict=True)
    ]
    rows = {
        "passages": passages,
        "qrels": qrels,
        "runs": runs,
        "queries": queries,
        "synthetic": synthetic,
        "candidates": candidates,
        "instances": instances,
        "metrics": metrics,
        "similarities": similarities,
        "scores": scores,
    }
    return Inputs({name: table(name, found) for name, found in rows.items()})


def no_more_than_the_test() -> Inputs:
    """Nothing was written, mined or trained on; the test queries, which no run is without, were scored."""
    of_test = ("queries", "qrels", "passages", "runs", "scores")
    empty = {name: MemoryTable(getattr(schemas, name.upper()).empty_table()) for name in inputs().tables}
    return Inputs({name: inputs().tables[name] if name in of_test else table for name, table in empty.items()})


def content(scratch: Path, given: Inputs | None = None) -> Path:
    return stage.run(given or inputs(), Context(ResourcesConfig(), scratch)).folders["content"]


EVALUATED: dict[str, Any] = {
    "measures": ["nDCG@10", "MAP"],
    "queries": 200,
    "leaks": {"test_positive": {"dense": 3}},
    "scores": {
        "base": {"nDCG@10": 0.649, "MAP": 0.601},
        "tuned": {"nDCG@10": 0.680, "MAP": 0.622},
        "bm25": {"nDCG@10": 0.543, "MAP": 0.51},
    },
    "differences": {
        "nDCG@10": {"difference": 0.031, "low": 0.012, "high": 0.05, "p": 0.002, "queries": 200, "detectable": 0.027},
        "MAP": {"difference": 0.021, "low": -0.004, "high": 0.046, "p": 0.09, "queries": 200},
    },
}


def summary(evaluated: dict[str, Any] = EVALUATED) -> RunSummary:
    generated = {
        "requests": 20,
        "accepted": 10,
        "input_tokens": 6000,
        "output_tokens": 1800,
        "output_tokens_per_second": 84.6,
    }
    rows: list[tuple[str, float, int, int, dict[str, int], dict[str, Any]]] = [
        ("corpus", 7.4, 2456, 2456, {}, {}),
        ("generate", 131.0, 20, 20, {}, {}),
        ("gate", 0.6, 20, 10, {"malformed": 5, "too_short": 5}, generated),
        ("embed", 41.2, 2456, 2456, {}, {"vectors_taken_over": {"passage_vectors": 1200, "query_vectors": 34}}),
        ("mine", 2.2, 960, 720, {"above_margin": 120, "positive": 120}, {}),
        ("mix", 0.4, 60, 59, {"too_few_retrieved": 1}, {}),
        ("train", 140.9, 59, 59, {}, {"dev": DEV}),
        ("embed_tuned", 40.1, 2456, 2456, {}, {}),
        ("evaluate", 1.9, 200, 200, {}, evaluated),
        ("report", 2.5, 200, 200, {}, {}),
    ]
    stages = [
        StageSummary(
            stage=name,
            fingerprint=f"{place:x}" * 16,
            seconds=seconds,
            rows_in=rows_in,
            rows_out=rows_out,
            rejected=rejected,
            reused=name == "corpus",
            finished=f"2026-11-01T10:0{place}:30+00:00",
            facts=facts,
        )
        for place, (name, seconds, rows_in, rows_out, rejected, facts) in enumerate(rows)
    ]
    config = {"name": "demo", "corpus": {"source": "stdlib", "split": "</pre><script>1</script>"}, "seed": 0}
    layouts = {"published": generated, "prefix_first": {"output_tokens_per_second": 90, "prefix_cache_hit_rate": 0.25}}
    return RunSummary(name="demo", config=config, stages=stages, layouts=layouts, storage_retries=0)
