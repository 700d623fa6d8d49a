"""What the gate said of a finished generation: how many of what, and some of the rejected to read."""

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from syneg.generate.attributes import asked_for
from syneg.generate.reasons import NOT_ANSWERED, NOT_WELL_FORMED
from syneg.redaction import redacted
from syneg.schemas import ACCEPTED
from syneg.stage import Source

_ANSWER = ("query_id", "positive_id", "seed")  # of several answers to a pair each was drawn by another seed
_COLUMNS = ["negative_id", *_ANSWER, "text", "domain", "difficulty", "length", "reject_reason"]
_CHARS = 600  # of a text that are shown


@dataclass(frozen=True)
class Verdicts:
    """`examples` are rows of schemas.SYNTHETIC with the texts `query`, `positive` and, if any, `error`, by reason."""

    counts: Counter[str | None] = field(default_factory=Counter)  # by reason; None: accepted
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def answered(self) -> int:
        return self.counts.total() - sum(self.counts[reason] for reason in NOT_ANSWERED)

    @property
    def well_formed(self) -> int:
        """The answers that hold a negative in the form asked for, whatever it says."""
        return self.answered - sum(self.counts[reason] for reason in NOT_WELL_FORMED)


def verdicts(synthetic: Source, answers: Source, examples: int) -> Verdicts:
    """Counts all and draws at most `examples` of each reason by their ids, which are hashes.

    A block and the examples are held at once.
    """
    found = Verdicts()
    for block in synthetic.blocks(_COLUMNS):
        found.counts.update(block["reject_reason"].to_pylist())
        for row in block.filter(~ACCEPTED).to_pylist():
            kept = [*found.examples.get(row["reject_reason"], ()), row]
            found.examples[row["reject_reason"]] = heapq.nsmallest(examples, kept, key=lambda row: row["negative_id"])
    shown = [row for rows in found.examples.values() for row in rows]
    asked = answers.where("query_id", [row["query_id"] for row in shown], [*_ANSWER, "query", "positive", "error"])
    texts = {tuple(row[name] for name in _ANSWER): row for row in asked.to_pylist()}
    for row in shown:
        row |= texts[tuple(row[name] for name in _ANSWER)]
    return found


def as_markdown(title: str, found: Verdicts) -> Iterator[str]:
    """The lines of a page for a person to read."""
    total, accepted = found.counts.total(), found.counts[None]
    yield f"# {title}"
    yield f"{total:,} negatives asked for, {accepted:,} accepted ({_share(accepted, total)})."
    well_formed = _share(found.well_formed, found.answered)
    yield f"{found.answered:,} were answered, {found.well_formed:,} of them well-formed ({well_formed})."
    yield "\n| reason | negatives | share |\n|---|---:|---:|"
    for reason, count in found.counts.most_common():
        yield f"| {reason or 'accepted'} | {count:,} | {_share(count, total)} |"
    for reason, rows in sorted(found.examples.items()):
        yield f"\n## {reason}: {len(rows)} of {found.counts[reason]:,}"
        for number, row in enumerate(rows, 1):
            asked = ", ".join(asked_for(row).values())
            yield f"\n{number}. **query {row['query_id']}** {_line(row['query'])}" + (f" ({asked})" if asked else "")
            yield f"   - positive {row['positive_id']}: {_line(row['positive'])}"
            yield f"   - error: {_line(row['error'])}" if row["error"] else f"   - written: {_line(row['text'])}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _line(text: str) -> str:
    """The beginning of `text`; redacted before it is cut, since of half a secret nobody knows that it is one."""
    return " ".join(redacted(text).split())[:_CHARS]
