import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syneg import schemas
from syneg.generate import duplicates
from syneg.generate.forbidden import FORBIDDEN, relevant
from syneg.generate.gate import words
from syneg.generate.survey import busy_seconds, survey
from syneg.settings.generate import Budget

spans = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=12)


@given(spans)
def test_busy_seconds_against_a_clock(found: list[tuple[int, int]]) -> None:
    ticks = {tick for start, length in found for tick in range(start, start + length)}
    array = np.array([(start, start + length) for start, length in found], float).reshape(-1, 2)
    assert busy_seconds(array) == len(ticks)


def block(rows: list[tuple[str, str, str | None, float | None]]) -> pa.Table:
    """Gated rows of (negative_id, text, reject_reason, asked_at)."""
    bands = duplicates.rows_per_band(0.8)
    signatures = [
        None if reason else duplicates.signature(duplicates.grams(words(text)), bands).tobytes()
        for _, text, reason, _ in rows
    ]
    count = len(rows)
    return pa.table(
        {
            "negative_id": [row[0] for row in rows],
            "query_id": [f"q{row[0]}" for row in rows],
            "cached_tokens": pa.array([5] * count, pa.int32()),
            "text": [row[1] for row in rows],
            "reject_reason": pa.array([row[2] for row in rows], pa.string()),
            "signature": pa.array(signatures, pa.binary()),
            "domain": ["even" if int(row[0]) % 2 == 0 else "odd" for row in rows],
            "difficulty": ["easy"] * count,
            "length": [""] * count,
            "input_tokens": pa.array([10] * count, pa.int32()),
            "output_tokens": pa.array([4] * count, pa.int32()),
            "asked_at": pa.array([row[3] for row in rows], pa.float64()),
            "seconds": pa.array([None if row[3] is None else 2.0 for row in rows], pa.float32()),
        }
    )


def test_duplicates_and_counts_over_all_blocks() -> None:
    same = "the same words stand here in the same order again"
    blocks = [
        block([("4", same, None, 100.0), ("3", "another text of quite other words", None, 101.0)]),
        block([("2", same.upper(), None, 500.0), ("5", "", "malformed", None)]),
        block([("7", "", "engine_error", None)]),
    ]
    found = survey(lambda: iter(blocks), lambda: iter(()), 0.8, Budget(output_price_per_million=1e6))
    assert found.reasons == {"4": "duplicate"}
    tokens = {"input_tokens": 20, "output_tokens": 8, "price": 8.0, "price_per_accepted": 8.0}
    assert found.facts == {
        "requests": 5,
        "accepted": 2,
        "input_tokens": 50,
        "output_tokens": 20,
        "price": 20.0,
        "price_per_accepted": 10.0,
        "output_tokens_per_second": pytest.approx(20 / 5),  # [100, 103] and [500, 502]; the pause does not count
        "prefix_cache_hit_rate": 0.5,
        "yield": {
            "domain": {
                "even": {"requests": 2, "accepted": 1} | tokens,
                "odd": {"requests": 3, "accepted": 1}
                | {"input_tokens": 30, "output_tokens": 12, "price": 12.0, "price_per_accepted": 12.0},
            },
            "difficulty": {
                "easy": {"requests": 5, "accepted": 2}
                | {"input_tokens": 50, "output_tokens": 20, "price": 20.0, "price_per_accepted": 10.0}
            },
            "length": {},
        },
    }


def passages(rows: list[tuple[str, str, list[str], bool]]) -> pa.Table:
    """Judged passages of (passage_id, text, relevant_to, held_out)."""
    bands = duplicates.rows_per_band(0.8)
    made = [
        dict(zip(FORBIDDEN.names, row, strict=False))
        | {"signature": duplicates.signature(duplicates.grams(words(row[1])), bands).tobytes()}
        for row in rows
    ]
    return pa.Table.from_pylist(made, FORBIDDEN)


def test_what_repeats_a_judged_passage_is_rejected_for_it() -> None:
    texts = [" ".join(f"{name}{place}" for place in range(40)) for name in "abcd"]
    rows = block([(str(number), text, None, None) for number, text in enumerate(texts)])
    forbidden = [
        passages([("p", texts[0], ["q0"], True), ("s", texts[1].replace("b7", "x"), ["q9"], True)]),
        passages([("t", texts[2], ["q9"], False), ("u", "nothing like it", ["q3"], True)]),
    ]
    found = survey(lambda: iter([rows]), lambda: iter(forbidden), 0.8)
    assert found.reasons == {"0": "copies_relevant", "1": "copies_held_out"}  # "t" answers another training query
    assert found.facts["accepted"] == 2


def test_what_was_rejected_for_a_passage_makes_no_other_a_duplicate() -> None:
    same = " ".join(f"w{place}" for place in range(40))
    rows = block([("1", same, None, None), ("2", same, None, None)])
    found = survey(lambda: iter([rows]), lambda: iter([passages([("p", same, ["q1"], False)])]), 0.8)
    assert found.reasons == {"1": "copies_relevant"}


def test_a_run_without_any_accepted_row() -> None:
    found = survey(lambda: iter([block([("1", "", "malformed", None)])]), lambda: iter(()), 0.8)
    assert (found.reasons, found.facts["accepted"]) == ({}, 0)
    assert found.facts["output_tokens_per_second"] is None
    assert survey(lambda: iter(()), lambda: iter(()), 0.8).facts["requests"] == 0


def test_a_passage_is_relevant_to_all_queries_of_a_text() -> None:
    queries = [("q1", "What is it?", "train"), ("q2", "what  is it?", "train"), ("q3", "What is it?", "test")]
    qrels = [("q1", "p1", 1), ("q2", "p2", 2), ("q2", "p3", 0), ("q3", "p4", 1), ("q3", "p1", 1)]
    tables = (
        pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
        for schema, rows in ((schemas.QUERIES, queries), (schemas.QRELS, qrels))
    )
    assert relevant(*tables) == {
        "p1": (["q1", "q2"], True),
        "p2": (["q1", "q2"], False),
        "p4": ([], True),
    }
