"""The dataset card and the model card of a run, as Markdown with a front matter that model hubs read.

Rendered from what the stages recorded, without reading a table.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from syneg import model_card
from syneg.differences import counted, named_probability, signed_interval, signed_points
from syneg.markdown import code, document, fields, plain, table
from syneg.report.publish import RunSummary

_UNSTATED = "not stated"
_SAMPLING = (
    "temperature",
    "top_p",
    "min_p",
    "repetition_penalty",
    "max_tokens",
    "retries",
    "reflection",
    "attributes",
    "prompt",
    "seed",
)
_MIXING = ("strategy", "synthetic_per_instance", "retrieved_per_instance", "synthetic_share", "on_short", "seed")


@dataclass(frozen=True)
class Origins:
    """What the manifests do not hold: licences as the models' packages or cards state them, and the price."""

    generator_licence: str | None
    base_licence: str | None
    usd: float | None = None  # of generating, at the prices under resources.estimate


def dataset(run: RunSummary, report: Mapping[str, Any], origins: Origins) -> str:
    """The card of the training instances. `report` is what `assemble` returned for `run`."""
    facts = _facts(run)
    front = {"tags": ["retrieval", "hard-negatives", "synthetic", "syneg"], "task_categories": ["text-retrieval"]}
    instances = report["instances"]
    mixed, probed = facts.get("mix", {}), facts.get("probe", {})
    return document(
        front,
        f"Training instances of the run {code(report['run'])}",
        f"{instances['usable']:,} instances (query, positive, hard negatives) for fine-tuning a dense retriever, made "
        f"by syneg {report['versions'].get('syneg', '')}. Every negative names its source.",
        "## Source",
        fields(_source(report) | {"left out": _counts(report["stages"]["corpus"]["rejected"])}),
        "## Synthetic negatives",
        *_synthetic(report, facts.get("generate", {}), origins),
        "## Retrieved negatives",
        _retrieved(report),
        "## Mix",
        fields(
            _mix(report)
            | {
                "instances with a synthetic negative": f"{instances['with_synthetic']:,} of {instances['usable']:,}",
                "pairs left out": _counts(instances["rejected"]),
                "synthetic ones replaced by retrieved ones": _counts(mixed.get("synthetic_replaced", {})),
                "borrowed from other queries": _counts(mixed.get("borrowed", {})),
                "short instances": _counts(mixed.get("short", {})),
            }
        ),
        "## Can the sources be told apart?",
        *_probe(probed),
        "## Limits",
        "- Synthetic negatives are invented. They may state falsehoods: they are there to be ranked below the "
        "positive, never to be read as facts.\n"
        "- A negative is one because no judgement says otherwise. Some retrieved ones do answer their query.\n"
        "- What the generator learned from, and what follows from its licence for what it wrote, is for you to check.",
        *_again(run),
    )


def model(run: RunSummary, report: Mapping[str, Any], origins: Origins) -> str:
    """The card of the tuned model. `report` is what `assemble` returned for `run`."""
    config, verdict, instances = report["config"], report["verdict"], report["instances"]
    return model_card.render(
        config["encoder"],
        config["train"],
        instances["usable"],
        sorted(instances["negatives"]),
        _facts(run)["train"].get("dev"),
        known=(
            f"**{plain(verdict['sentence'])}**",
            "\n".join(f"- {plain(caveat)}" for caveat in verdict["caveats"]),
            _scores(report),
            f"Scored on {counted(report['test_queries'], 'query')} of one collection. The intervals are over queries.",
        ),
        origin=(
            "## Data",
            fields(_source(report) | _mix(report) | _rounds(config["mine"]["rounds"])),
            *_again(run),
            f"By the run {code(report['run'])}, whose dataset-card.md tells of the instances. The base model's "
            f"licence, as stated beside it: {plain(origins.base_licence or _UNSTATED)}.",
        ),
    )


def _source(report: Mapping[str, Any]) -> dict[str, str]:
    corpus = report["config"]["corpus"]
    return {
        "collection": f"{code(corpus['source'])} {code(corpus['path']) if corpus['path'] else ''}".strip(),
        "judgements to train on": code(corpus["split"]),
        "licence": "that of the collection; syneg does not know it",
    }


def _mix(report: Mapping[str, Any]) -> dict[str, str]:
    mix = report["config"]["mix"]
    chosen = {name: model_card.in_words(mix[name]) for name in _MIXING if name in mix}
    return chosen | {"negatives by source": _counts(report["instances"]["negatives"])}


def _rounds(rounds: int) -> dict[str, str]:
    """Of ANCE; the steps and the dev scores of a card are those of the last one."""
    return {"rounds of mining and training": f"{rounds}, each from the model of the one before"} if rounds > 1 else {}


def _synthetic(report: Mapping[str, Any], generated: Mapping[str, Any], origins: Origins) -> Iterator[str]:
    config, made = report["config"]["generate"], report["generation"]
    if "generate" not in report["stages"]:
        yield "None: no LLM was asked."
        return
    price = "" if origins.usd is None else f", about {origins.usd:,.2f} USD at the prices that the run was given"
    yield fields(
        {
            "generator": code(generated.get("model", config["engine"].get("model", config["engine"]["kind"]))),
            "engine": code(config["engine"]["kind"]),
            "its licence, as stated beside it": plain(origins.generator_licence or _UNSTATED),
            "prompt version": code(generated.get("prompt_version", _UNSTATED)),
            **{name: model_card.in_words(config[name]) for name in _SAMPLING if name in config},
            "asked for": f"{made['requests'] or 0:,}",
            "what the gate said": _counts(made["outcomes"]),
            "tokens in, out": f"{made['input_tokens'] or 0:,}, {made['output_tokens'] or 0:,}",
            "cost": f"{report['stages']['generate']['seconds']:,.0f} s of generating{price}",
        }
    )


def _retrieved(report: Mapping[str, Any]) -> str:
    rows = [
        (
            sampler,
            _that_are_set(report["config"]["mine"]["samplers"].get(sampler, {})),
            f"{found.get('kept', 0):,}",
            _counts({reason: count for reason, count in found.items() if reason != "kept"}),
        )
        for sampler, found in report["candidates"].items()
    ]
    return table(("sampler", "settings", "kept", "filtered"), rows) if rows else "None: nothing was mined."


def _that_are_set(settings: Mapping[str, Any]) -> str:
    return code(", ".join(f"{name}: {value}" for name, value in settings.items() if value is not None))


def _probe(probed: Mapping[str, Any]) -> Iterator[str]:
    if not probed.get("auc"):
        yield "Not looked at: there were too few negatives of one kind."
        return
    yield (
        f"A logistic regression that has to tell {probed['synthetic']:,} synthetic negatives from "
        f"{probed['retrieved']:,} retrieved ones, cross-validated (0.5 is a guess, 1 tells all of them apart):"
    )
    views = [(view, f"{found['auc']:.2f} ± {found['spread']:.2f}") for view, found in probed["auc"].items()]
    yield table(("by", "AUC"), views)
    yield "\n".join(f"- {plain(warning)}" for warning in probed["warnings"])


def _scores(report: Mapping[str, Any]) -> str:
    measures = report["measures"]
    rows = [
        (system, *(f"{scores[measure]:.4f}" for measure in measures)) for system, scores in report["scores"].items()
    ]
    gains = [_gain(report["differences"][measure]) for measure in measures]
    return table(("", *measures), [*rows, ("tuned - base, points (95 %)", *gains)])


def _gain(found: Mapping[str, float]) -> str:
    ends = f"{signed_interval(found['low'], found['high'])}, {named_probability(found['p'])}"
    return f"{signed_points(found['difference'])} ({ends})"


def _again(run: RunSummary) -> tuple[str, str]:
    stages = [(stage["stage"], code(stage["fingerprint"]), f"{stage['rows_out']:,}") for stage in run["stages"]]
    return "## Made from", table(("stage", "fingerprint", "rows out"), stages)


def _facts(run: RunSummary) -> dict[str, Mapping[str, Any]]:
    return {stage["stage"]: stage["facts"] for stage in run["stages"]}


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items()) or "none"
