"""The engine that ran elsewhere before: its answers by query, positive and sample.

A row of JSON Lines or Parquet is one of
- query_id, positive_id, and `hard_negative` (or `hard_negatives`, a list) with `reasoning`, or `answer`, the LLM's own
  words; optionally `sample` (else the n-th row of a pair is its n-th sample) and the attributes that were asked for;
- a line of a provider's batch output: `custom_id`, a JSON list [query_id, positive_id, sample], and `response` with a
  chat completion as its `body`, or `error`.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, TypeGuard

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray
from ray.data import Dataset

from syneg.errors import BadInput
from syneg.generate.engines.asked import ANSWERED, LIGHTLY, error_in, of_error, of_reply
from syneg.settings.generate import RecordedEngine
from syneg.store import files
from syneg.texts import storable

_KEYS = ("query_id", "positive_id")
_ATTRIBUTES = {"domain_name": "domain", "difficult_level": "difficulty", "length": "length"}
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in _KEYS]
    + [("sample", pa.int32())]
    + [(f"recorded_{name}", pa.string()) for name in (*_ATTRIBUTES.values(), "answer", "finish_reason", "error")]
    + [(f"recorded_{name}", pa.int32()) for name in ("input_tokens", "output_tokens", "cached_tokens")]
)


def digest(path: str) -> str:
    return hashlib.sha256(_content(path)).hexdigest()


def answer(requests: Dataset, columns: list[str], engine: RecordedEngine) -> Dataset:
    """See `syneg.generate.engine.answer`. A request that no row answers gets finish_reason "no_answer".

    Raises:
        BadInput: the file is missing, or a row is not as this module's head says.
    """
    rows = ray.put(load(engine.path))

    def answered(batch: pa.Table) -> pa.Table:
        return look_up(batch, columns, ray.get(rows))

    return requests.map_batches(answered, **LIGHTLY)


def load(path: str) -> pa.Table:
    """The answers, as a model's answer would read; what a row says of its attributes goes before what was drawn."""
    seen: Counter[tuple[str, str]] = Counter()
    rows: dict[tuple[str, str, int], dict[str, Any]] = {}
    for place, row in _rows(path):
        written = _of_batch(row, place) if "custom_id" in row else _of_row(row, place)
        pair = (written["query_id"], written["positive_id"])
        sample = seen[pair] if written.get("sample") is None else written["sample"]
        seen[pair] += 1
        if (*pair, sample) in rows:
            raise BadInput(f"{place}: query {pair[0]} and positive {pair[1]} have two answers for sample {sample}.")
        rows[*pair, sample] = written | {"sample": sample}
    return pa.Table.from_pylist(list(rows.values()), _SCHEMA)


def _rows(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every row of the file, and its place."""
    content = _content(path)
    if content.startswith(b"PAR1"):
        try:
            rows = pq.read_table(pa.BufferReader(content)).to_pylist()
        except (pa.ArrowInvalid, OSError) as error:
            raise BadInput(f"{path}: begins as Parquet and cannot be read as such ({error}).") from error
        for number, row in enumerate(rows, 1):
            yield f"{path}, row {number}", {name: value for name, value in row.items() if value is not None}
        return
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BadInput(f"{place}: no JSON ({error}). Expected one JSON object a line.") from error
        if not isinstance(row, dict):
            raise BadInput(f"{place}: expected an object with the texts query_id and positive_id.")
        yield place, row


def _of_row(row: dict[str, Any], place: str) -> dict[str, Any]:
    if not all(isinstance(row.get(key), str) for key in _KEYS):
        raise BadInput(f"{place}: expected an object with the texts query_id and positive_id.")
    if wrong := [key for key in (*_ATTRIBUTES, "answer") if not isinstance(row.get(key, ""), str)]:
        raise BadInput(f"{place}: {', '.join(wrong)} must be text.")
    if not _is_sample(row.get("sample", 0)):
        raise BadInput(f"{place}: sample is {row['sample']!r}; expected a whole number, 0 for the first.")
    said = {name: row[name] for name in ("reasoning", "hard_negative", "hard_negatives") if name in row}
    attributes = {f"recorded_{name}": row.get(key) for key, name in _ATTRIBUTES.items()}
    told = {
        "recorded_answer": storable(row.get("answer", json.dumps({"reasoning": ""} | said))),
        "recorded_finish_reason": "stop",
        "sample": row.get("sample"),
    }
    return {name: row[name] for name in _KEYS} | attributes | told


def _of_batch(row: dict[str, Any], place: str) -> dict[str, Any]:
    query_id, positive_id, sample = _request_of(row["custom_id"], place)
    response = row.get("response") or {}
    body = response.get("body") if isinstance(response, dict) else None
    if row.get("error") or (isinstance(response, dict) and response.get("status_code") not in (None, 200)):
        told = of_error(row.get("error") or error_in(body), json.dumps(row.get("error") or body))
    elif _is_completion(body):
        told = of_reply(body)
    else:
        raise BadInput(f"{place}: expected `error`, or `response` with a chat completion as its `body`.")
    found = {f"recorded_{name}": value for name, value in told.items() if name != "probability"}
    return {"query_id": query_id, "positive_id": positive_id, "sample": sample} | found


def _request_of(custom_id: Any, place: str) -> tuple[str, str, int]:
    try:
        named = json.loads(custom_id)
    except (ValueError, TypeError):
        named = None
    match named:
        case [str(query_id), str(positive_id), sample] if _is_sample(sample):
            return query_id, positive_id, sample
    raise BadInput(f"{place}: custom_id is {custom_id!r}; expected a JSON list [query_id, positive_id, sample].")


def _is_sample(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_completion(body: Any) -> TypeGuard[dict[str, Any]]:
    match body:
        case {"choices": [{"message": {}}, *_]}:
            return True
    return False


def _content(path: str) -> bytes:
    try:
        return files.read(path)
    except OSError as error:
        raise BadInput(
            f"generate.engine.path: {path} cannot be read ({error.strerror}). Give JSON Lines or Parquet."
        ) from error


def look_up(batch: pa.Table, columns: list[str], recorded: pa.Table) -> pa.Table:
    """The answers to a batch of requests, out of what `load` gave."""
    rows = batch.to_pylist()
    wanted = pc.field("query_id").isin(batch["query_id"].combine_chunks())
    known = {(*(row[key] for key in _KEYS), row["sample"]): row for row in recorded.filter(wanted).to_pylist()}
    for row in rows:
        found = known.get((*(row[key] for key in _KEYS), row["sample"]))
        if found:
            row |= {name: found[f"recorded_{name}"] or row[name] for name in _ATTRIBUTES.values()}
            row |= {name: found.get(f"recorded_{name}") for name in ("answer", "finish_reason", "error")}
            row |= {name: found.get(f"recorded_{name}") for name in ("input_tokens", "output_tokens", "cached_tokens")}
        else:
            row |= {"answer": "", "finish_reason": "no_answer"}
        for name in ("input_tokens", "output_tokens"):
            row[name] = row.get(name) or 0
    made = pa.Table.from_pylist([{name: row.get(name) for name in ANSWERED.names} for row in rows], ANSWERED)
    kept = pa.Table.from_pylist(rows, pa.schema([batch.schema.field(name) for name in columns]))
    return pa.table({name: kept[name] for name in columns} | {name: made[name] for name in ANSWERED.names})
