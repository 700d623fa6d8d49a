"""The card of a trained model (README.md in its folder): training writes it, the run's report adds the scores."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from syneg.markdown import code, document, table

_FRONT = {
    "library_name": "sentence-transformers",
    "pipeline_tag": "sentence-similarity",
    "tags": ["sentence-transformers", "dense-retrieval", "hard-negatives", "syneg"],
}
_USE = """```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/to/this/folder")
scores = model.similarity(model.encode_query(["a query"]), model.encode_document(["a passage"]))
```"""
_VECTORS = (
    "Vectors have unit length; similarity is the cosine. `encode_query` and `encode_document` put the prefixes of the "
    "table below before a text and cut it at the lengths given there; whoever loads the folder with plain "
    "`transformers` has to do both, then what `modules.json` names behind the transformer: pool as "
    "`1_Pooling/config.json` says, and normalise."
)
_LIMITS = (
    "- Trained for retrieval of the passages of one collection; other collections, languages and tasks were not looked "
    "at.\n"
    "- Texts longer than the lengths below are cut: what stands after the cut is not seen.\n"
    "- Negatives, other instances' passages among them, were not judged by people: some may answer their query after "
    "all.\n"
    "- It was trained towards what the judgements call relevant, with their gaps and biases.\n"
    "- One training, one seed: another seed gives other weights and somewhat other scores."
)
_NOT_SCORED = "How well it retrieves on test queries, beside its base model and BM25: see the report of the run."


def render(
    encoder: Mapping[str, Any],
    train: Mapping[str, Any],
    instances: int,
    sources: Sequence[str],
    dev: Mapping[str, Any] | None,
    known: Sequence[str] = (_NOT_SCORED,),
    origin: Sequence[str] = (),
) -> str:
    """Markdown. `encoder` and `train`: the values of the two sections; `sources`: of the negatives; `dev`: the fact of
    that name, if dev queries were scored; `known` and `origin`: blocks on its quality, and on what it was made from.
    """
    negatives = ", ".join(sources) or "none but other instances' passages"
    settings = [*_settings("encoder", encoder), *_settings("train", train)]
    return document(
        _FRONT,
        "A dense retriever fine-tuned with hard negatives",
        f"Trained by [syneg](https://arxiv.org/abs/2412.17250) from {code(encoder['model'])}, with InfoNCE over "
        f"{instances:,} instances of a query, its positive and hard negatives ({negatives}).",
        _USE,
        _VECTORS + _of_dimensions(train["matryoshka_dimensions"]),
        "## What is known of its quality",
        *known,
        _of_dev(dev),
        "## Limits",
        _LIMITS,
        *origin,
        "## Settings",
        table(("setting", "value"), settings),
    )


def _settings(section: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Full keys and what they hold; of a section within this one, each of its own."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _settings(f"{section}.{name}", value)
        else:
            yield f"{section}.{name}", in_words(value)


def in_words(value: Any) -> str:
    """A setting that is no section, as Markdown."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return code(str(value).lower())
    return code(", ".join(map(str, value)) if isinstance(value, list | tuple) else value)


def _of_dimensions(dimensions: Sequence[int]) -> str:
    sizes = ", ".join(map(str, dimensions))
    return f"\n\nThe first {sizes} dimensions were trained to work by themselves, normalised again." if sizes else ""


def _of_dev(dev: Mapping[str, Any] | None) -> str:
    if not dev:
        return ""
    return (
        f"On {dev['queries']:,} dev queries over {dev['passages']:,} passages ({dev['over']}): nDCG@10 "
        f"{dev['base']:.4f} for the weights that training began with, {dev['chosen']:.4f} for those in this folder, "
        f"which are {_kept(dev)}. They were chosen by this very number, which is therefore a little high."
    )


def _kept(dev: Mapping[str, Any]) -> str:
    kept = f"those after step {dev['best_step']:,}" if dev["best_step"] else "those that training began with"
    weight = dev.get("merge_weight", 1.0)
    return kept if weight == 1.0 else f"{weight:g} of the trained ones and the rest of the base model's"
