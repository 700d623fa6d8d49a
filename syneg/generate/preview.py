"""What was asked and what came of it, for a person to read."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from syneg.generate.attributes import asked_for
from syneg.generate.prompts import Message
from syneg.generate.requests import REQUEST
from syneg.generate.stage import prompt_of
from syneg.generate.writing import render
from syneg.settings.generate import GenerateConfig
from syneg.stage import Source


@dataclass(frozen=True)
class Look:
    query_id: str
    positive_id: str
    messages: list[Message]
    attributes: dict[str, str]  # as `asked_for`
    answer: str
    verdicts: list[str | None]  # of each negative in the answer: the reason for its rejection


def looks(answers: Source, synthetic: Source, generate: GenerateConfig) -> Iterator[Look]:
    """One for every answer, which must be the first of its pair: the prompt is rendered anew."""
    verdicts: dict[tuple[str, str], list[str | None]] = defaultdict(list)
    for row in synthetic.table().to_pylist():
        verdicts[row["query_id"], row["positive_id"]].append(row["reject_reason"])
    rows = answers.table().to_pylist()
    requests = [{name: row.get(name) for name in REQUEST.names} | {"sample": 0} for row in rows]
    rendered = render(pa.Table.from_pylist(requests, REQUEST), prompt_of(generate), generate.seed)
    for row, messages in zip(rows, rendered["messages"].to_pylist(), strict=True):
        pair = (row["query_id"], row["positive_id"])
        yield Look(*pair, messages, asked_for(row), row["error"] or row["answer"], verdicts[pair])
