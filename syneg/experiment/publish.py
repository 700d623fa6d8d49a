"""The folder of an experiment, `{root}/experiments/{name}`: experiment.json, experiment.html and the scores."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from syneg.experiment.analysis import Analysis
from syneg.experiment.grid import Grid
from syneg.experiment.results import Arm, Results
from syneg.experiment.verdict import Verdict
from syneg.report import environment, experiment_page
from syneg.store import files

_SCORES = pa.schema(
    [
        pa.field("arm", pa.string(), nullable=False),
        pa.field("seed", pa.int64()),  # null: not trained
        pa.field("measure", pa.string(), nullable=False),
        pa.field("query_id", pa.string(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
    ]
)


def folder(root: str, name: str) -> str:
    return files.join(root, "experiments", name)


def publish(grid: Grid, results: Results, analysis: Analysis, verdict: Verdict, reported: Mapping[str, Any]) -> str:
    """Writes scores.parquet, experiment.json and experiment.html. Returns the path of the page."""
    target = folder(grid.root, grid.config.name)
    content = summary(grid, results, analysis, verdict, reported)
    sink = pa.BufferOutputStream()
    pq.write_table(scores_table(results), sink, compression="zstd")
    files.put(files.join(target, "scores.parquet"), sink.getvalue().to_pybytes())
    files.put(files.join(target, "experiment.json"), json.dumps(content, indent=1, ensure_ascii=False).encode())
    page = files.join(target, "experiment.html")
    files.put(page, experiment_page.render(content).encode("utf-8", "replace"))
    return page


def summary(
    grid: Grid, results: Results, analysis: Analysis, verdict: Verdict, reported: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of experiment.json: JSON values only."""
    return {
        "experiment": grid.config.name,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "verdict": asdict(verdict),
        "measures": list(results.measures),
        "queries": len(results.queries),
        "seeds": list(results.seeds),
        "seeded": list(grid.config.seeded),
        "rival": analysis.rival,
        "detectable": list(analysis.detectable),
        "comparisons": analysis.count,
        "arms": [_arm(arm, analysis) for arm in results.arms.values()],
        "bm25": {name: float(values.mean()) for name, values in results.bm25.items()} if results.bm25 else None,
        "reported": dict(reported),
        "config": grid.config.model_dump(mode="json"),
        "resolved": grid.cells[0].config.model_dump(mode="json"),
        "machine": environment.machine(),
        "versions": environment.versions(),
    }


def _arm(arm: Arm, analysis: Analysis) -> dict[str, Any]:
    with_base, with_rival = analysis.with_base.get(arm.name), analysis.with_rival.get(arm.name)
    return {
        "name": arm.name,
        "base": arm.base,
        "settings": dict(arm.settings),
        "scores": {
            name: {
                "mean": float(values.mean()),
                "by_seed": [float(value) for value in values.mean(axis=1)],
                "spread": float(values.mean(axis=1).std(ddof=1)) if len(values) > 1 else None,
            }
            for name, values in arm.values.items()
        },
        "with_base": with_base.summary() if with_base else None,
        "with_rival": with_rival.summary() if with_rival else None,
        "trainings": [dict(training) for training in arm.trainings],
    }


def scores_table(results: Results) -> pa.Table:
    """Every query's score under every arm, seed and measure."""
    systems = [(arm.name, list(results.seeds) if arm.tuned else [None], arm.values) for arm in results.arms.values()]
    if results.bm25:
        systems.append(("bm25", [None], results.bm25))
    tables = [
        pa.table(
            {
                "arm": [name] * len(results.queries),
                "seed": pa.array([seed] * len(results.queries), pa.int64()),
                "measure": [measure] * len(results.queries),
                "query_id": list(results.queries),
                "value": row,
            },
            schema=_SCORES,
        )
        for name, seeds, values in systems
        for measure, rows in values.items()
        for seed, row in zip(seeds, rows, strict=True)
    ]
    return pa.concat_tables(tables)
