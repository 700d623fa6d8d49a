"""What the model scored while it trained, as rows of `schemas.SIMILARITIES`."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from syneg import schemas
from syneg.train.step import Scored


def similarities(step: int, scored: Sequence[Scored]) -> pa.Table:
    """A row for every query and passage of its own instance."""
    tables = [schemas.SIMILARITIES.empty_table()]
    for part in scored:
        batch, candidates_QK = part.batch, part.batch.candidates_QK.numpy()
        query, place = np.nonzero(candidates_QK >= 0)
        passage = candidates_QK[query, place]
        scores = part.contrasted.scores_QK.float().cpu().numpy()[query, place]
        columns = [
            pa.array(np.full(len(query), step, np.int32)),
            *(_taken([instance[name] for instance in batch.instances], query) for name in ("query_id", "positive_id")),
            _taken(batch.passage_ids, passage),
            _taken(batch.sources, passage),
            pa.array(scores),
        ]
        tables.append(pa.table(columns, schema=schemas.SIMILARITIES))
    return pa.concat_tables(tables)


def _taken(values: Sequence[str], rows: np.ndarray) -> pa.Array:
    return pa.array(values, pa.string()).take(pa.array(rows))
