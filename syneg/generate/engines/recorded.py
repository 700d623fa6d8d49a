"""The engine that ran elsewhere before: its answers in JSON Lines, found by query and positive."""

import hashlib
import json
from collections import Counter
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.data import Dataset

from syneg.errors import BadInput
from syneg.settings.generate import RecordedEngine
from syneg.store import files

_KEYS = ("query_id", "positive_id")
_ATTRIBUTES = {"domain_name": "domain", "difficult_level": "difficulty", "length": "length"}
_SCHEMA = pa.schema(
    [("query_id", pa.string()), ("positive_id", pa.string()), ("sample", pa.int32()), ("answer", pa.string())]
    + [(f"recorded_{name}", pa.string()) for name in _ATTRIBUTES.values()]
)


def digest(path: str) -> str:
    return hashlib.sha256(_content(path)).hexdigest()


def answer(requests: Dataset, columns: list[str], engine: RecordedEngine) -> Dataset:
    """The n-th line of a pair answers its n-th sample. A request without a line gets finish_reason "no_answer".

    Raises:
        BadInput: the file is missing, or a line is no JSON object with query_id and positive_id.
    """
    rows = ray.put(load(engine.path))
    return requests.map_batches(
        partial(_look_up, columns=columns, recorded=rows), batch_size=None, batch_format="pyarrow"
    )


def load(path: str) -> pa.Table:
    """The answers, as a model's answer would read; what a line tells of its attributes goes before what was drawn."""
    seen: Counter[tuple[str, str]] = Counter()
    rows = []
    for number, line in enumerate(_content(path).splitlines(), 1):
        if not line.strip():
            continue
        written = _line(line, path, number)
        pair = (written["query_id"], written["positive_id"])
        answered = {"reasoning": written.get("reasoning", ""), "hard_negative": written.get("hard_negative")}
        attributes = {f"recorded_{name}": written.get(key) for key, name in _ATTRIBUTES.items()}
        rows.append(
            dict(zip(_KEYS, pair, strict=True)) | {"sample": seen[pair], "answer": json.dumps(answered)} | attributes
        )
        seen[pair] += 1
    return pa.Table.from_pylist(rows, _SCHEMA)


def _content(path: str) -> bytes:
    try:
        return files.read(path)
    except OSError as error:
        raise BadInput(
            f"generate.engine.path: {path} cannot be read ({error.strerror}). Give a JSON Lines file."
        ) from error


def _line(line: bytes, path: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadInput(f"{path}, line {number}: no JSON ({error}). Expected one JSON object a line.") from error
    texts = (*_KEYS, *_ATTRIBUTES)
    if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in _KEYS):
        raise BadInput(f"{path}, line {number}: expected an object with the texts query_id and positive_id.")
    if wrong := [key for key in texts if not isinstance(row.get(key, ""), str)]:
        raise BadInput(f"{path}, line {number}: {', '.join(wrong)} must be text.")
    return row


def _look_up(batch: pa.Table, columns: list[str], recorded: "ray.ObjectRef[pa.Table]") -> pa.Table:
    found = batch.drop_columns(["messages"]).join(ray.get(recorded), keys=[*_KEYS, "sample"], join_type="left outer")
    for name in _ATTRIBUTES.values():
        told = pc.coalesce(found[f"recorded_{name}"], found[name])  # type: ignore[attr-defined]
        found = found.set_column(found.column_names.index(name), name, told).drop_columns([f"recorded_{name}"])
    rows = found.num_rows
    reasons = ["stop" if there else "no_answer" for there in found["answer"].is_valid().to_pylist()]
    return pa.table(
        {name: found[name] for name in columns}
        | {
            "answer": found["answer"].fill_null(""),
            "finish_reason": pa.array(reasons, pa.string()),
            "error": pa.nulls(rows, pa.string()),
            "input_tokens": pa.array([0] * rows, pa.int32()),
            "output_tokens": pa.array([0] * rows, pa.int32()),
            "asked_at": pa.nulls(rows, pa.float64()),
            "seconds": pa.nulls(rows, pa.float32()),
        }
    )
