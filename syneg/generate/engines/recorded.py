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
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import ray
from ray.data import Dataset

from syneg.errors import BadInput
from syneg.generate.engines.asked import ANSWERED, LIGHT
from syneg.generate.engines.endpoint import failed, of_reply
from syneg.settings.generate import RecordedEngine
from syneg.store import files

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
    return requests.map_batches(
        partial(_look_up, columns=columns, recorded=rows), batch_size=None, batch_format="pyarrow", num_cpus=LIGHT
    )


def load(path: str) -> pa.Table:
    """The answers, as a model's answer would read; what a row tells of its attributes goes before what was drawn."""
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
    """Every row of the file, and where it stands."""
    content = _content(path)
    if content.startswith(b"PAR1"):
        for number, row in enumerate(pq.read_table(pa.BufferReader(content)).to_pylist(), 1):
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
    if not isinstance(row.get("sample", 0), int):
        raise BadInput(f"{place}: sample is {row['sample']!r}; expected a whole number, 0 for the first.")
    said = {name: row[name] for name in ("reasoning", "hard_negative", "hard_negatives") if name in row}
    attributes = {f"recorded_{name}": row.get(key) for key, name in _ATTRIBUTES.items()}
    told = {
        "recorded_answer": row.get("answer", json.dumps({"reasoning": ""} | said)),
        "recorded_finish_reason": "stop",
        "sample": row.get("sample"),
    }
    return {name: row[name] for name in _KEYS} | attributes | told


def _of_batch(row: dict[str, Any], place: str) -> dict[str, Any]:
    try:
        query_id, positive_id, sample = json.loads(row["custom_id"])
    except (ValueError, TypeError) as error:
        raise BadInput(
            f"{place}: custom_id is {row['custom_id']!r}; expected a JSON list [query_id, positive_id, sample]."
        ) from error
    response = row.get("response") or {}
    if row.get("error") or response.get("status_code", 200) != 200:
        told = failed(json.dumps(row.get("error") or response.get("body")))
    else:
        told = of_reply(response.get("body") or {})
    found = {f"recorded_{name}": value for name, value in told.items() if name != "probability"}
    return {"query_id": str(query_id), "positive_id": str(positive_id), "sample": int(sample)} | found


def _content(path: str) -> bytes:
    try:
        return files.read(path)
    except OSError as error:
        raise BadInput(
            f"generate.engine.path: {path} cannot be read ({error.strerror}). Give JSON Lines or Parquet."
        ) from error


def _look_up(batch: pa.Table, columns: list[str], recorded: "ray.ObjectRef[pa.Table]") -> pa.Table:
    rows = batch.to_pylist()
    wanted = pc.field("query_id").isin(batch["query_id"].combine_chunks())
    known = {(*(row[key] for key in _KEYS), row["sample"]): row for row in ray.get(recorded).filter(wanted).to_pylist()}
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
