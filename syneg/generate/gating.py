"""Answers to gated negatives, block by block: what can be said of a negative without looking at the others."""

from functools import partial
from typing import Any

import pyarrow as pa
from ray.data import Dataset

from syneg import schemas
from syneg.generate import duplicates
from syneg.generate.answers import Answer, parse
from syneg.generate.gate import reject_reason
from syneg.generate.keys import digest
from syneg.on_ray.placement import actors, threads
from syneg.settings.encoder import EncoderConfig
from syneg.settings.generate import GateConfig, GenerateConfig
from syneg.settings.resources import ResourcesConfig
from syneg.texts import words

_GATE_ROWS = 1024  # answers that are gated at once
_BESIDE = ("query", "positive", "asked_at", "seconds", "cached_tokens")  # what later looks need


def negatives(row: dict[str, Any], generate: GenerateConfig) -> list[tuple[str, Answer | str]]:
    """(negative_id, the negative or why there is none) of an answer, as many as were asked for."""
    found = parse(
        row["answer"], row["finish_reason"], reflection=generate.reflection, negatives=generate.negatives_per_answer
    )
    return [
        (row["negative_id"] if number == 0 else digest(row["negative_id"], number)[:32], negative)
        for number, negative in enumerate(found)
    ]


def gated(
    answers: Dataset,
    judgements: dict[str, float],
    generate: GenerateConfig,
    gate: GateConfig,
    encoder: EncoderConfig,
    model: str,
    resources: ResourcesConfig,
) -> Dataset:
    """Rows of schemas.SYNTHETIC but for what only all of them together show, with signatures and times beside."""
    look = partial(_gate, judgements=judgements, generate=generate, gate=gate)
    rows = answers.map_batches(look, batch_size=_GATE_ROWS, batch_format="pyarrow")
    if gate.min_query_similarity is None and gate.max_similarity_ratio is None:
        return rows
    pool = resources.encode
    return rows.map_batches(
        Similarities,
        fn_constructor_args=(encoder, model, gate),
        batch_size=pool.batch_rows,
        batch_format="pyarrow",
        runtime_env={"env_vars": {"OMP_NUM_THREADS": str(threads(pool))}},
        **actors(pool, resources),
    )


def _gate(batch: pa.Table, judgements: dict[str, float], generate: GenerateConfig, gate: GateConfig) -> pa.Table:
    bands = duplicates.rows_per_band(gate.max_duplicate_similarity)
    rows: list[dict[str, Any]] = []
    for row in batch.to_pylist():
        for number, (name, negative) in enumerate(negatives(row, generate)):
            probability = judgements.get(name)
            if isinstance(negative, Answer):
                reason = reject_reason(
                    negative.hard_negative, row["query"], row["positive"], gate, row["length"], row["example"]
                )
                if not reason and probability is not None and probability > gate.max_answer_probability:
                    reason = "answers_query"
            else:
                reason, negative = negative, Answer(row["answer"])  # kept as it came, for a person to read
            grams = None if reason else duplicates.grams(words(negative.hard_negative))
            rows.append(
                row
                | {
                    "negative_id": name,
                    "text": negative.hard_negative,
                    "reasoning": negative.reasoning,
                    "query_similarity": None,
                    "positive_similarity": None,
                    "answer_probability": probability,
                    "reject_reason": reason,
                    "signature": None if grams is None else duplicates.signature(grams, bands).tobytes(),
                }
                | ({"input_tokens": 0, "output_tokens": 0, "cached_tokens": 0} if number else {})
            )
    return pa.Table.from_pylist([{name: row[name] for name in _GATED.names} for row in rows], _GATED)


_GATED = pa.schema(
    [
        *schemas.SYNTHETIC,
        *(schemas.ANSWERS.field(name) for name in _BESIDE),
        pa.field("signature", pa.binary()),
    ]
)


class Similarities:
    """A worker: how close each negative that passed so far is to its query, and how close its positive is."""

    def __init__(self, encoder: EncoderConfig, model: str, gate: GateConfig) -> None:
        from syneg.encoder.encoder import Encoder

        self._encoder = Encoder.for_inference(model, encoder)
        self._gate = gate

    def __call__(self, batch: pa.Table) -> pa.Table:
        rows = batch.to_pylist()
        passed = [row for row in rows if row["reject_reason"] is None]
        if passed:
            queries_QD = self._encoder.encode([row["query"] for row in passed], "query")
            for column, text in (("query_similarity", "text"), ("positive_similarity", "positive")):
                passages_QD = self._encoder.encode([row[text] for row in passed], "passage")
                for row, similarity in zip(passed, (queries_QD * passages_QD).sum(axis=1).tolist(), strict=True):
                    row[column] = similarity
            for row in passed:
                row["reject_reason"] = distance_reason(row["query_similarity"], row["positive_similarity"], self._gate)
        return pa.Table.from_pylist(rows, _GATED)


def distance_reason(negative: float, positive: float, gate: GateConfig) -> str | None:
    """Whether a negative is too far from its query to teach anything, or as close as an answer. Both are cosines."""
    if gate.min_query_similarity is not None and negative < gate.min_query_similarity:
        return "off_topic"
    # |positive| so that a ratio below 1 is a margin below the positive also where the cosine is negative.
    if gate.max_similarity_ratio is not None and negative > positive + abs(positive) * (gate.max_similarity_ratio - 1):
        return "too_close"
    return None
