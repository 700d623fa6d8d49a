"""ADORE as a stage: a query encoder trained against the base model's passage vectors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray

from syneg.encoder.recipe import base_model
from syneg.on_ray.placement import beside_driver, threads
from syneg.settings.adore import AdoreConfig
from syneg.settings.encoder import EncoderConfig
from syneg.stage import Context, Inputs, Output, Source
from syneg.store import folders
from syneg.train.journal import Journal
from syneg.train.stage import shown

_PART_ROWS = 65_536  # vectors that are written at once


def run(inputs: Inputs, context: Context, *, encoder: EncoderConfig, adore: AdoreConfig) -> Output:
    """Table `query_vectors` of all queries under the trained query encoder, and its folder `query_encoder`.

    ADORE (arXiv 2104.08051): the passages' vectors are frozen, the query encoder alone learns, and at every step the
    top-k are searched among all passages with the vectors that the step's queries have at that moment. The loss is
    the paper's, LambdaRank for the reciprocal rank (`loss.lambda_mrr`). The search is exact (`search.dense`), over
    the vectors mapped from a file on the worker's disk, a block at a time.

    One worker of `resources.train` does all of it. If it dies it begins anew, and comes to the same result.

    Raises:
        BadInput: the model is not there, or takes no plain text.
        StageFailed: there is nothing to train on, or the encoder's vectors are not finite numbers.
    """
    journal: Any = ray.remote(Journal).options(**beside_driver()).remote()
    workers, attempt = context.workers, context.attempt or str(context.scratch / "attempt")
    arguments = (inputs.tables, base_model(encoder), attempt, encoder, adore, _Teller(journal))
    with shown(journal, context.progress):
        vectors, address, facts = workers.get(workers.start(_work, threads(context.resources.train), *arguments))
    model = context.scratch / "query_encoder"
    folders.fetch(address, model)
    return Output(
        rows_in=vectors.num_rows,
        tables={"query_vectors": (vectors.slice(at, _PART_ROWS) for at in range(0, vectors.num_rows, _PART_ROWS))},
        folders={"query_encoder": model},
        facts=lambda: facts,
    )


@dataclass(frozen=True)
class _Teller:
    """Shows a worker's line in the driver."""

    journal: Any

    def __call__(self, line: str) -> None:
        self.journal.say.remote(line)


def _work(threads: int, tables: Mapping[str, Source], *arguments: Any) -> tuple[pa.Table, str, dict[str, Any]]:
    # Imported by the worker: it loads sentence-transformers, which takes the driver many seconds for nothing.
    import torch

    from syneg.train.query_side import train

    torch.set_num_threads(threads)
    return train(tables, *arguments)
