"""The model card that lies in the folder of a trained model."""

from collections.abc import Mapping
from typing import Any

_CARD = """---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags: [sentence-transformers, dense-retrieval, hard-negatives, syneg]
---
# A dense retriever fine-tuned with hard negatives

Trained by [syneg](https://arxiv.org/abs/2412.17250) from `{base}`, with InfoNCE over {instances} instances of a query,
its positive and hard negatives ({sources}).

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/to/this/folder")
scores = model.similarity(model.encode_query(["a query"]), model.encode_document(["a passage"]))
```

Vectors have unit length; similarity is the cosine. `encode_query` and `encode_document` put the prefixes of the table
below before a text and cut it at the lengths given there; whoever loads the folder with plain `transformers` has to do
both, pool as `1_Pooling/config.json` says, and normalise.{dimensions}

## What is known of its quality
{scores}

## Limits
- Trained for retrieval of the passages of one collection; other collections, languages and tasks were not looked at.
- Texts longer than the lengths below are cut: what stands after the cut is not seen.
- Negatives were mined or written by a language model, not judged by people: some may answer their query after all.
- One training, one seed: another seed gives other weights and somewhat other scores.

## Data and settings
| setting | value |
|---|---|
{settings}
"""


def render(
    encoder: Mapping[str, Any],
    train: Mapping[str, Any],
    instances: int,
    sources: tuple[str, ...],
    facts: Mapping[str, Any],
) -> str:
    """Markdown, from the two sections' values and what training found (`facts`)."""
    dimensions = ""
    if train["matryoshka_dimensions"]:
        sizes = ", ".join(str(size) for size in train["matryoshka_dimensions"])
        dimensions = f"\n\nThe first {sizes} dimensions were trained to work by themselves, normalised again."
    rows = {f"encoder.{name}": value for name, value in encoder.items()}
    rows |= {f"train.{name}": value for name, value in train.items()}
    return _CARD.format(
        base=encoder["model"],
        instances=f"{instances:,}",
        sources=", ".join(sources) or "none but other instances' passages",
        dimensions=dimensions,
        scores=_scores(facts),
        settings="\n".join(f"| {name} | `{value!r}` |" for name, value in rows.items()),
    )


def _scores(facts: Mapping[str, Any]) -> str:
    dev = facts.get("dev")
    lines = ["How well it retrieves on the test queries, beside its base model and BM25: see the report of the run."]
    if dev:
        lines.append(
            f"On {dev['queries']:,} dev queries over {dev['passages']:,} passages ({dev['over']}): nDCG@10 "
            f"{dev['base']:.4f} before training, {dev['chosen']:.4f} for the weights in this folder. They were chosen "
            "by this very number, which is therefore a little high."
        )
    return "\n\n".join(lines)
