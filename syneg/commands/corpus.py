"""Collections in, BEIR folders out."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from syneg.commands import terminal
from syneg.config import overrides
from syneg.errors import BadInput
from syneg.settings.corpus import CorpusConfig
from syneg.settings.section import Section

_SECTION = "corpus."


class _Read(Section):
    """So that keys are spelt in messages as they are given."""

    corpus: CorpusConfig


def corpus(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="stdlib, or a folder in BEIR or (with --msmarco) MS MARCO layout.")
    ],
    out: Annotated[
        str,
        typer.Argument(metavar="OUT", help="The BEIR folder to write, on disk or s3://bucket/prefix; it must be new."),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[corpus.key=value]...",
            help="Settings of the section corpus: corpus.test_split=dev.small, corpus.on_missing=drop; "
            "corpus.split=null for a collection without judgements to train on.",
        ),
    ] = None,
    msmarco: Annotated[bool, typer.Option("--msmarco", help="SOURCE holds MS MARCO's tsv files.")] = False,
) -> None:
    """Write a collection as a BEIR folder: corpus.jsonl, queries.jsonl, qrels/.

    Written is what a run would use. Queries without a judgement are left out, and so is what is held out: a query that
    two splits judge is test's before it is dev's, and train's last. What was left out is counted by reason.
    """
    from syneg.corpus import export

    left_out = export.write_beir(_settings(source, msmarco, settings or ()), out)
    counts = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
    terminal.say(terminal.console(), f"Wrote {source} to {out}; left out: {counts or 'nothing'}")


def _settings(source: str, msmarco: bool, changes: Sequence[str]) -> CorpusConfig:
    """Raises BadInput: a change is of another section, or no valid one, or SOURCE says it."""
    given: dict[str, Any] = {"source": "stdlib"}
    if source != "stdlib":
        given = {"source": "msmarco" if msmarco else "beir", "path": source}
    for key, value in map(overrides.parse, changes):
        name = key.removeprefix(_SECTION)
        if not key.startswith(_SECTION):
            raise BadInput(f"{key}: syneg corpus takes settings of one section, e.g. corpus.test_split=dev.small.")
        if name in ("source", "path"):
            raise BadInput(f"{key}: SOURCE and --msmarco say what is read. Leave this out.")
        given[name] = value
    return overrides.validated(_Read, {"corpus": given}, "syneg corpus").corpus
