"""The accepted instances of a run as files that another library trains on."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from syneg.errors import BadInput
from syneg.export.formats import FORMATS, Layout
from syneg.schemas import ACCEPTED
from syneg.stage import Source
from syneg.store import files


@dataclass(frozen=True)
class Written:
    """What an export wrote: instances with `fewest` to `most` negatives each. `left_out`: instances with fewer than the
    format can hold beside the others."""

    instances: int
    fewest: int
    most: int
    left_out: int


def write(instances: Source, format_name: str, query_prompt: str, out: str) -> Written:
    """Writes every accepted instance under the folder `out`: Parquet for sentence-transformers, else JSON Lines.

    A Parquet column has a text in every row, so instances with fewer negatives than the most are left out of it, and
    counted. The others hold lists, of any length above 0; FlagEmbedding's may all be empty, as those of in_batch_only.

    Raises:
        BadInput: there is nothing to write that the format's reader would take.
    """
    counts = _negative_counts(instances)
    if not counts:
        raise BadInput("The run has no accepted instance: the mix rejected all. Nothing was written.")
    teacher = format_name == "flagembedding" and all(map(_all_scored, _accepted(instances)))
    layout = Layout(negatives=max(counts), query_prompt=query_prompt, teacher=teacher)
    in_columns = format_name == "sentence-transformers"
    _check_lists(counts, format_name)
    if in_columns:
        for number, block in enumerate(_as_columns(instances, layout)):
            files.put(files.join(out, f"train-{number:05}.parquet"), block)
        fewest, written = layout.negatives, counts[layout.negatives]
    else:
        files.put_chunks(files.join(out, "train.jsonl"), _as_lines(instances, format_name, layout))
        fewest, written = min(counts), counts.total()
    return Written(written, fewest, layout.negatives, counts.total() - written)


def _check_lists(counts: Counter[int], format_name: str) -> None:
    """Raises BadInput if the format's reader would stop at an instance without negatives."""
    if format_name == "sentence-transformers" or not counts[0]:
        return
    if counts[0] < counts.total():
        raise BadInput(
            f"{counts[0]:,} of {counts.total():,} instances have no negative, which {format_name}'s reader cannot "
            "take. Export as sentence-transformers, or mix with negatives for all (mix.on_short=drop)."
        )
    if format_name != "flagembedding":
        raise BadInput(
            f"No instance has a negative, as with mix.strategy=in_batch_only, and {format_name}'s reader needs one. "
            "Export as sentence-transformers or flagembedding, or mix by another strategy."
        )


def _accepted(instances: Source, columns: list[str] | None = None) -> Iterator[pa.Table]:
    for block in instances.blocks(columns):
        accepted = block.filter(ACCEPTED)
        if accepted.num_rows:
            yield accepted


def _negative_counts(instances: Source) -> Counter[int]:
    """Accepted instances by their number of negatives."""
    counts: Counter[int] = Counter()
    for block in _accepted(instances, ["negatives", "reject_reason"]):
        counts.update(pc.call_function("list_value_length", [block["negatives"]]).to_pylist())
    return counts


def _all_scored(block: pa.Table) -> bool:
    scores = block["negatives"].combine_chunks().flatten().field("cross_score")
    return not block["positive_cross_score"].null_count and not scores.null_count


def _records(block: pa.Table, format_name: str, layout: Layout) -> Iterator[Mapping[str, Any]]:
    for row in block.to_pylist():
        yield FORMATS[format_name](row, layout)


def _as_columns(instances: Source, layout: Layout) -> Iterator[bytes]:
    names = ["anchor", "positive", *(f"negative_{place}" for place in range(1, layout.negatives + 1))]
    schema = pa.schema([pa.field(name, pa.string(), nullable=False) for name in names])
    for block in _accepted(instances):
        records = [record for record in _records(block, "sentence-transformers", layout) if len(record) == len(names)]
        if records:
            sink = pa.BufferOutputStream()
            pq.write_table(pa.Table.from_pylist(records, schema=schema), sink, compression="zstd")
            yield sink.getvalue().to_pybytes()


def _as_lines(instances: Source, format_name: str, layout: Layout) -> Iterator[bytes]:
    for block in _accepted(instances):
        records = _records(block, format_name, layout)
        yield "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode("utf-8", "replace")
