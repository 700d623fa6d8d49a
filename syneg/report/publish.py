"""report.json: what a run did and what came of it, put together from manifests and the report stage's folder.

Nothing heavy is imported, so that a run whose stages are all reused writes its page in seconds.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

from syneg.report import environment, verdict

_GENERATION = ("requests", "accepted", "input_tokens", "output_tokens", "output_tokens_per_second")
_RATES = ("output_tokens_per_second", "prefix_cache_hit_rate")
_LEDGER = ("fingerprint", "seconds", "rows_in", "rows_out", "rejected", "reused", "finished")


class StageSummary(TypedDict):
    """One stage of a run, in the order in which they ran. `seconds` of a reused stage are those of when it was made."""

    stage: str
    fingerprint: str
    seconds: float
    rows_in: int
    rows_out: int
    rejected: Mapping[str, int]
    reused: bool
    finished: str  # ISO 8601
    facts: Mapping[str, Any]


class RunSummary(TypedDict):
    name: str
    config: Mapping[str, Any]
    stages: list[StageSummary]
    layouts: Mapping[str, Mapping[str, Any]]  # facts of what was generated, by layout of the prompt
    storage_retries: int  # requests to object storage that were tried again in this run


def assemble(run: RunSummary, content: Path) -> dict[str, Any]:
    """The content of report.json: JSON values only. `content` is the folder that the report stage wrote."""
    facts = {stage["stage"]: stage["facts"] for stage in run["stages"]}
    evaluate = facts["evaluate"]
    gated = facts.get("gate", {})
    vectors = [found.get("vectors_taken_over", {}) for found in facts.values()]
    read = json.loads((content / "content.json").read_text(encoding="utf-8"))
    reached = verdict.of_run(evaluate, facts.get("probe", {}).get("warnings", ()))
    return {
        "run": run["name"],
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "verdict": {"kind": reached.kind, "sentence": reached.sentence, "caveats": list(reached.caveats)},
        "power": verdict.power(evaluate),
        "measures": list(evaluate["measures"]),
        "scores": dict(evaluate["scores"]),
        "differences": dict(evaluate["differences"]),
        "test_queries": evaluate["queries"],
        "leaks": dict(evaluate["leaks"]),
        "generation": {name: gated.get(name) for name in _GENERATION}
        | {"outcomes": read["generation"], "taken_over": facts.get("generate", {}).get("taken_over")}
        | {"layouts": _rates(run["layouts"])},
        "vectors_taken_over": sum(sum(of.values()) for of in vectors),
        "candidates": read["candidates"],
        "instances": read["instances"],
        "training": read["training"],
        "changes": {name: read["changes"][name] for name in ("measure", "better", "same", "worse")},
        "stages": {stage["stage"]: {name: stage[name] for name in _LEDGER} for stage in run["stages"]},
        "storage_retries": run["storage_retries"],
        "facts": {name: dict(found) for name, found in facts.items() if found},
        "config": run["config"],
        "machine": environment.machine(),
        "versions": environment.versions(),
    }


def _rates(layouts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """By layout of the prompt, how fast the engine wrote and the share of what it read that its prefix cache held."""
    rates = {layout: {name: facts.get(name) for name in _RATES} for layout, facts in layouts.items()}
    return {layout: found for layout, found in rates.items() if found["output_tokens_per_second"]}
