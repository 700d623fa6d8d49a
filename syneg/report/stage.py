"""What the page shows that has to be read from tables: numbers, plots and instances to read.

The stage writes them to a folder once; the page itself is made by `assemble` and `page` at the end of every run, from
this folder and the manifests, without reading a table again.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from syneg import schemas
from syneg.report import changes, plots, tallies
from syneg.report.changes import shortened
from syneg.stage import Context, Inputs, Output, Source

TO_READ = 20
_CHARS = 2_000  # of a text that are shown
_OF_SYNTHETIC = ("domain", "difficulty", "length", "reasoning", "prompt_version", "model")


def run(inputs: Inputs, context: Context) -> Output:
    """Writes content.json and one SVG file a plot. Rows are the test queries that were scored."""
    tables = inputs.tables
    folder = context.scratch / "content"
    folder.mkdir()
    scores = tables["scores"].table()
    context.progress("counting what the stages kept and rejected")
    written = inputs.source("synthetic", schemas.SYNTHETIC)
    requests = written.table(["query_id", "positive_id", "reject_reason"])
    generation = tallies.ordered(tallies.by_reason(requests["reject_reason"], "accepted"), "accepted")
    candidates = tallies.candidate_outcomes(
        inputs.source("candidates", schemas.CANDIDATES).blocks(["sampler", "reject_reason"])
    )
    instances = tallies.instance_tally(
        tables["instances"].blocks(["query_id", "positive_id", "negatives", "reject_reason"]),
        frozenset(zip(requests["query_id"].to_pylist(), requests["positive_id"].to_pylist(), strict=True)),
        TO_READ,
    )
    metrics = tables["metrics"].table().sort_by("step")
    similarities = tallies.similarity_histograms(
        tables["similarities"].blocks(["step", "source", "score"]), tallies.epoch_steps(metrics)
    )
    changed = changes.by_query(scores)

    content = {
        "generation": generation,
        "candidates": candidates,
        "instances": {
            "usable": instances.usable,
            "with_synthetic": instances.with_synthetic,
            "in_place_of_rejected": instances.in_place_of_rejected,
            "rejected": dict(instances.rejected),
            "negatives": tallies.by_source(instances.negatives),
        },
        "training": _training(metrics),
        "changes": changes.extremes(changed, tables, _CHARS),
        "readings": list(_readings(instances.drawn, tables["instances"], written)),
        "plots": [],
    }
    context.progress("drawing")
    for name, title, caption, svg in _plots(metrics, similarities, changed, generation, candidates):
        (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
        content["plots"].append({"name": name, "title": title, "caption": caption})
    (folder / "content.json").write_text(json.dumps(content, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    return Output(rows_in=_queries(scores), rows_out=_queries(scores), folders={"content": folder})


def _queries(scores: pa.Table) -> int:
    return len(scores["query_id"].unique())


def _training(metrics: pa.Table) -> dict[str, Any]:
    if not metrics.num_rows:
        return {"steps": 0}
    losses = metrics["loss"].to_numpy()
    looks = metrics.select(["step", "dev_ndcg"]).drop_null()
    tenth = max(1, len(losses) // 10)
    return {
        "steps": metrics.num_rows,
        "dev": [
            [step + 1, _number(score)]
            for step, score in zip(*(looks[name].to_pylist() for name in looks.column_names), strict=True)
        ],
        "loss_of_first_tenth": _number(losses[:tenth].mean()),
        "loss_of_last_tenth": _number(losses[-tenth:].mean()),
        "masses_of_first_tenth": tallies.mass_by_source(metrics["masses"][:tenth]),
        "masses_of_last_tenth": tallies.mass_by_source(metrics["masses"][-tenth:]),
        "median_queries_per_second": _number(np.median(metrics["queries_per_second"].to_numpy())),
    }


def _number(value: float) -> float | None:
    """`value` as JSON can hold it."""
    return float(value) if np.isfinite(value) else None


def _readings(drawn: list[tallies.Pair], instances: Source, synthetic: Source) -> Iterator[dict[str, Any]]:
    """The drawn instances in full, each synthetic negative with its attributes and the reasoning before it."""
    rows = instances.where("query_id", [query_id for query_id, _ in drawn]).to_pylist()
    by_pair = {(row["query_id"], row["positive_id"]): row for row in rows}
    written = [
        found["id"]
        for pair in drawn
        for found in by_pair[pair]["negatives"]
        if found["source"] == schemas.SYNTHETIC_SOURCE
    ]
    origins = synthetic.where("negative_id", written, ["negative_id", *_OF_SYNTHETIC]).to_pylist()
    by_id = {row.pop("negative_id"): row for row in origins}
    for pair in drawn:
        row = by_pair[pair]
        yield {
            "query_id": row["query_id"],
            "query": shortened(row["query"], _CHARS),
            "positive_id": row["positive_id"],
            "positive": shortened(row["positive"], _CHARS),
            "negatives": [
                {**negative, "text": shortened(negative["text"], _CHARS), "origin": by_id.get(negative["id"])}
                for negative in row["negatives"]
            ],
        }


def _plots(
    metrics: pa.Table,
    similarities: Mapping[str, Mapping[str, np.ndarray]],
    changed: pa.Table,
    generation: Mapping[str, int],
    candidates: Mapping[str, Mapping[str, int]],
) -> Iterator[tuple[str, str, str, str]]:
    """(name, title, caption, svg) of every plot that there are numbers for."""
    delta = changed["tuned"].to_numpy() - changed["base"].to_numpy()
    caption = "One bar a test query: what it gained or lost by fine-tuning."
    yield "changes", "Query by query", caption, plots.query_changes(delta, changed["measure"][0].as_py())
    # If training stopped early, the last epoch has no similarities.
    seen = {epoch: own for epoch, own in similarities.items() if any(counts.sum() for counts in own.values())}
    if seen:
        svg = plots.score_distributions(seen, tallies.EDGES)
        yield "distributions", "Similarity by source of the text", _seen_during(list(seen), list(similarities)), svg
    if metrics.num_rows:
        caption = "The loss by optimiser step (thin) and its running mean (thick)."
        steps, losses, rates = (metrics[name].to_numpy() for name in ("step", "loss", "learning_rate"))
        # Counted from 1, as everywhere else where a person reads.
        yield "loss", "Training", caption, plots.loss(steps + 1, losses, rates)
    if sum(generation.values()):
        caption = "What became of the LLM's answers at the gate. Only accepted ones are trained on."
        yield "generation", "Synthetic negatives", caption, plots.outcomes({"answers": generation}, "accepted")
    if candidates:
        caption = "What became of the passages that each sampler brought. The mix takes its negatives from those kept."
        yield "candidates", "Retrieved candidates", caption, plots.outcomes(candidates, "kept")


def _seen_during(epochs: list[str], trained: list[str]) -> str:
    if len(epochs) == 1:
        why = "its only one" if epochs == trained else f"nothing was recorded in {trained[-1]}, in which training ended"
        return f"As seen by the model while it trained, during {epochs[0]} ({why})."
    return (
        f"As seen by the model while it trained: filled during {epochs[1]}, the last; grey outline during {epochs[0]}."
    )
