"""What training leaves behind: a folder that sentence-transformers loads."""

import tempfile
from pathlib import Path

import ray.train
from ray.train import Checkpoint

from syneg.encoder.encoder import Encoder
from syneg.settings.encoder import EncoderConfig
from syneg.settings.train import TrainConfig
from syneg.train.job import MODEL

_CARD = """---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags: [sentence-transformers, dense-retrieval, hard-negatives, syneg]
---
# A dense retriever fine-tuned with hard negatives

Trained by [syneg](https://arxiv.org/abs/2412.17250) from `{base}`, with InfoNCE over {instances} instances of a query,
its positive and hard negatives. How well it retrieves is not said here: see the report of the run.

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/to/this/folder")
scores = model.similarity(model.encode_query(["a query"]), model.encode_document(["a passage"]))
```

| setting | value |
|---|---|
{settings}
"""


def report_model(encoder: Encoder, config: EncoderConfig, train: TrainConfig, instances: int, rank: int) -> None:
    """Hands the model to Ray Train, which copies it to the run's storage. Every worker calls this; rank 0 saves.

    ZeRO up to stage 2 leaves whole weights on every rank.
    """
    if rank != 0:
        ray.train.report({})
        return
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / MODEL
        encoder.save(model)
        settings = config.model_dump() | train.model_dump()
        rows = "\n".join(f"| {name} | `{value!r}` |" for name, value in settings.items())
        (model / "README.md").write_text(_CARD.format(base=config.model, instances=instances, settings=rows), "utf-8")
        ray.train.report({}, checkpoint=Checkpoint.from_directory(folder))
