"""Reading `schemas.SCORES`."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def values_of(scores: pa.Table, system: str, measure: str) -> np.ndarray:
    """The scores [Q] of one system by one measure, in the order of query ids."""
    own = scores.filter((pc.field("system") == system) & (pc.field("measure") == measure))
    return own.sort_by("query_id")["value"].to_numpy()
