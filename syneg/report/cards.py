"""The dataset card and the model card of a run, as Markdown with a front matter that model hubs read.

Rendered from what the stages recorded, without reading a table. Values that a user or a model chose (names, paths,
prompts) stand in code spans, where neither Markdown nor HTML has a meaning.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from syneg.differences import named_probability, signed_points
from syneg.report.publish import RunSummary

_UNSTATED = "not stated"
_SAMPLING = ("temperature", "top_p", "max_tokens", "reflection", "attributes", "prompt", "seed")
_MIXING = ("strategy", "synthetic_per_instance", "retrieved_per_instance", "synthetic_share", "on_short", "seed")


@dataclass(frozen=True)
class Origins:
    """What the manifests do not hold: licences as the models' packages or cards state them, and the price."""

    generator_licence: str | None
    base_licence: str | None
    usd: float | None = None  # of generating, at the prices under resources.estimate


def dataset(run: RunSummary, report: Mapping[str, Any], origins: Origins) -> str:
    """The card of the training instances. `report` is what `publish` returned for `run`."""
    config, facts = report["config"], _facts(run)
    front = {"tags": ["retrieval", "hard-negatives", "synthetic", "syneg"], "task_categories": ["text-retrieval"]}
    corpus, instances = config["corpus"], report["instances"]
    mixed, probed = facts.get("mix", {}), facts.get("probe", {})
    return _document(
        front,
        f"Training instances of the run {_code(report['run'])}",
        f"{instances['usable']:,} instances (query, positive, hard negatives) for fine-tuning a dense retriever, made "
        f"by syneg {report['versions'].get('syneg', '')}. Every negative names its source.",
        "## Source",
        _fields(
            {
                "collection": f"{_code(corpus['source'])} {_code(corpus['path']) if corpus['path'] else ''}".strip(),
                "judgements to train on": _code(corpus["split"]),
                "licence": "that of the collection; syneg does not know it",
                "left out": _counts(report["stages"]["corpus"]["rejected"]),
            }
        ),
        "## Synthetic negatives",
        *_synthetic(report, facts.get("generate", {}), origins),
        "## Retrieved negatives",
        _retrieved(report),
        "## Mix",
        _fields({name: _code(config["mix"][name]) for name in _MIXING if name in config["mix"]}),
        _fields(
            {
                "negatives by source": _counts(instances["negatives"]),
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
    """The card of the tuned model. `report` is what `publish` returned for `run`."""
    config, training = report["config"], report["training"]
    front = {
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": ["sentence-transformers", "retrieval", "syneg"],
    }
    verdict = report["verdict"]
    return _document(
        front,
        f"The model of the run {_code(report['run'])}",
        f"**{_plain(verdict['sentence'])}**",
        "\n".join(f"- {_plain(caveat)}" for caveat in verdict["caveats"]),
        "## Scores",
        _scores(report),
        "## Base and training",
        _fields(
            {
                "base model": _code(config["encoder"]["model"]),
                "its licence, as stated beside it": _plain(origins.base_licence or _UNSTATED),
                "query prompt": _code(config["encoder"]["query_prompt"]),
                "passage prompt": _code(config["encoder"]["passage_prompt"]),
                "instances": f"{report['instances']['usable']:,} (see dataset-card.md)",
                "steps": f"{training['steps']:,}",
            }
        ),
        "Training settings:",
        _fields({name: _code(value) for name, value in config["train"].items()}),
        "## Use",
        "```python\nfrom sentence_transformers import SentenceTransformer\n\n"
        'model = SentenceTransformer("model")\n'
        'scores = model.similarity(model.encode_query(["..."]), model.encode_document(["..."]))\n```',
        "## Limits",
        f"- Scored on {report['test_queries']:,} queries of one collection. Nothing is known of others.\n"
        "- The intervals are over queries. One training run says nothing of what another seed would give.\n"
        "- It was trained towards what the judgements call relevant, with their gaps and biases.",
        *_again(run),
    )


def _synthetic(report: Mapping[str, Any], generated: Mapping[str, Any], origins: Origins) -> Iterator[str]:
    config, made = report["config"]["generate"], report["generation"]
    if "generate" not in report["stages"]:
        yield "None: no LLM was asked."
        return
    price = "" if origins.usd is None else f", about {origins.usd:,.2f} USD at the prices that the run was given"
    yield _fields(
        {
            "generator": _code(generated.get("model", config["engine"].get("model", config["engine"]["kind"]))),
            "engine": _code(config["engine"]["kind"]),
            "its licence, as stated beside it": _plain(origins.generator_licence or _UNSTATED),
            "prompt version": _code(generated.get("prompt_version", _UNSTATED)),
            **{name: _code(config[name]) for name in _SAMPLING if name in config},
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
            _code(report["config"]["mine"]["samplers"].get(sampler, {})),
            f"{found.get('kept', 0):,}",
            _counts({reason: count for reason, count in found.items() if reason != "kept"}),
        )
        for sampler, found in report["candidates"].items()
    ]
    return _table(("sampler", "settings", "kept", "filtered"), rows) if rows else "None: nothing was mined."


def _probe(probed: Mapping[str, Any]) -> Iterator[str]:
    if not probed.get("auc"):
        yield "Not looked at: there were too few negatives of one kind."
        return
    yield (
        f"A logistic regression that has to tell {probed['synthetic']:,} synthetic negatives from "
        f"{probed['retrieved']:,} retrieved ones, cross-validated (0.5 is a guess, 1 tells all of them apart):"
    )
    views = [(view, f"{found['auc']:.2f} ± {found['spread']:.2f}") for view, found in probed["auc"].items()]
    yield _table(("by", "AUC"), views)
    yield "\n".join(f"- {_plain(warning)}" for warning in probed["warnings"])


def _scores(report: Mapping[str, Any]) -> str:
    measures = report["measures"]
    rows = [
        (system, *(f"{scores[measure]:.4f}" for measure in measures)) for system, scores in report["scores"].items()
    ]
    gains = [_gain(report["differences"][measure]) for measure in measures]
    return _table(("", *measures), [*rows, ("tuned - base, points (95 %)", *gains)])


def _gain(found: Mapping[str, float]) -> str:
    difference, low, high = (signed_points(found[name]) for name in ("difference", "low", "high"))
    return f"{difference} ({low} to {high}, {named_probability(found['p'])})"


def _again(run: RunSummary) -> tuple[str, str]:
    stages = [(stage["stage"], _code(stage["fingerprint"]), f"{stage['rows_out']:,}") for stage in run["stages"]]
    return "## Made from", _table(("stage", "fingerprint", "rows out"), stages)


def _facts(run: RunSummary) -> dict[str, Mapping[str, Any]]:
    return {stage["stage"]: stage["facts"] for stage in run["stages"]}


def _document(front: Mapping[str, Any], title: str, *blocks: str) -> str:
    head = yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True)
    return "\n\n".join([f"---\n{head}---", f"# {title}", *(block for block in blocks if block)]) + "\n"


def _fields(values: Mapping[str, str]) -> str:
    return _table(("", ""), [(name.replace("_", " "), value) for name, value in values.items() if value])


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items()) or "none"


def _code(value: object) -> str:
    """A code span that also a table's cell can hold, whatever is in it."""
    text = " ".join(str(value).split()).replace("`", "'").replace("|", "\\|")
    return f"`{text}`" if text else "none"


def _plain(text: str) -> str:
    """`text` as running text: HTML has no meaning in it, nor have Markdown's links, emphasis, code and cells."""
    for character in "\\`*_[]<>|":
        text = text.replace(
            character, f"\\{character}" if character not in "<>" else f"&{'lt' if character == '<' else 'gt'};"
        )
    return " ".join(text.split())
