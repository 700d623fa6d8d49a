"""The accepted instances of a run as files that another library trains on."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from syneg.errors import BadInput
from syneg.export.formats import FORMATS, Format, Record
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
    """Writes every accepted instance under the folder `out`, as `formats.FORMATS` says of `format_name`.

    A Parquet column has a text in every row, so instances with fewer negatives than the most are left out of it, and
    counted. JSON Lines hold lists, of any length that the format's reader takes.

    Raises:
        BadInput: there is nothing to write that the format's reader would take.
    """
    counts = _negative_counts(instances)
    if not counts:
        raise BadInput("The run has no accepted instance: the mix rejected all. Nothing was written.")
    form = FORMATS[format_name]
    _check_lists(counts, format_name)
    scored = form.scores is not None and all(map(_all_scored, _accepted(instances)))
    most = max(counts)
    fewest = most if form.in_columns else min(counts)
    blocks = (_records(block, form, query_prompt, scored) for block in _holding(instances, fewest))
    if form.in_columns:
        for number, records in enumerate(blocks):
            files.put(files.join(out, f"train-{number:05}.parquet"), _as_columns(records))
    else:
        files.put_chunks(files.join(out, "train.jsonl"), map(_as_lines, blocks))
    written = sum(count for negatives, count in counts.items() if negatives >= fewest)
    return Written(written, fewest, most, counts.total() - written)


def _check_lists(counts: Counter[int], format_name: str) -> None:
    """Raises BadInput if the format's reader would stop at an instance without negatives."""
    taken = ("some",) if counts[0] < counts.total() else ("some", "all")
    if not counts[0] or FORMATS[format_name].empty in taken:
        return
    others = " or ".join(name for name, form in FORMATS.items() if form.empty in taken)
    if counts[0] < counts.total():
        raise BadInput(
            f"{counts[0]:,} of {counts.total():,} instances have no negative, which {format_name}'s reader cannot "
            f"take. Export as {others}, or mix with negatives for all (mix.on_short=drop)."
        )
    raise BadInput(
        f"No instance has a negative, as with mix.strategy=in_batch_only, and {format_name}'s reader needs one. "
        f"Export as {others}, or mix by another strategy."
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


def _holding(instances: Source, fewest: int) -> Iterator[pa.Table]:
    """Accepted instances with at least `fewest` negatives."""
    for block in _accepted(instances):
        counts = pc.call_function("list_value_length", [block["negatives"]]).to_numpy()
        holding = block.filter(pa.array(counts >= fewest))
        if holding.num_rows:
            yield holding


def _records(block: pa.Table, form: Format, query_prompt: str, scored: bool) -> list[Record]:
    records = []
    for row in block.to_pylist():
        scores = form.scores(row) if form.scores and scored else {}
        prompt = {form.prompt: query_prompt} if form.prompt and query_prompt else {}
        records.append(form.record(row) | scores | prompt)
    return records


def _as_columns(records: list[Record]) -> bytes:
    """`records`: one or more, all with the same keys."""
    schema = pa.schema([pa.field(name, pa.string(), nullable=False) for name in records[0]])
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(records, schema=schema), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _as_lines(records: list[Record]) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode("utf-8", "replace")
