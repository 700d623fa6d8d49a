"""Instances of short texts, with zero to three negatives each."""

import random
from typing import Any

import pyarrow as pa

from syneg import schemas

_WORDS = ["red", "blue", "fox", "whale", "tree", "stone", "night", "day", "river", "cloud", "song", "door"]


def instance_table(count: int, negatives: tuple[int, ...] = (3, 0, 2, 1)) -> pa.Table:
    """Instance i has `negatives[i % len(negatives)]` negatives; the first of them is synthetic."""
    draw = random.Random(0)

    def text() -> str:
        return " ".join(draw.choices(_WORDS, k=draw.randint(1, 6)))

    rows: list[dict[str, Any]] = []
    for row in range(count):
        others = [
            {
                "id": f"n{row}.{place}",
                "text": text(),
                "source": "bm25" if place else "synthetic",
                "score": None,
                "rank": None,
            }
            for place in range(negatives[row % len(negatives)])
        ]
        rows.append(
            {
                "query_id": f"q{row}",
                "query": f"{text()} {row}",
                "positive_id": f"p{row}",
                "positive": f"{text()} {row}",
                "negatives": others,
                "reject_reason": None,
            }
        )
    return pa.Table.from_pylist(rows, schema=schemas.INSTANCES)
