"""One training query with all that a run did for it."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from syneg.commands import terminal
from syneg.commands.arguments import Root, RunArgument
from syneg.texts import passage_text

if TYPE_CHECKING:
    from syneg.pipeline.run import Run

# Without --full: characters of a text, candidates of a sampler.
_CHARS = 160
_ROWS = 20
_NEAR = 3  # ids that are shown where there is no such query


def show(
    run: RunArgument,
    query_id: Annotated[str, typer.Option("--query-id", metavar="ID", help="A query of the collection.")],
    full: Annotated[bool, typer.Option("--full", help="Whole texts, and every candidate.")] = False,
    root: Root = "out",
) -> None:
    """Show a query with its positives, what was written and mined for it, why it was rejected, and its instances.

    Of a run that has not come to its end, what is done is shown.
    """
    from syneg import runs

    console = terminal.console()
    for part in about(runs.load(run, root), query_id, full):
        console.print(part)


def about(run: "Run", query_id: str, full: bool = False) -> Iterator[RenderableType]:
    """What is to be printed. Tables are read for this query alone.

    Raises:
        BadInput: the collection has no such query, or the run has no collection yet.
    """
    from syneg.errors import BadInput

    run.need("corpus", "syneg show")

    def rows(stage: str | None, table: str) -> list[dict[str, Any]]:
        return run.table(stage, table).where("query_id", [query_id]).to_pylist() if stage else []

    queries = rows("corpus", "queries")
    if not queries:
        ids = run.table("corpus", "queries").table(["query_id"])["query_id"].to_pylist()
        raise BadInput(f"The collection of {run.config.name} has no query {query_id!r}. {_like(query_id, ids)}")
    qrels, synthetic = rows("corpus", "qrels"), rows("gate", "synthetic")
    candidates = rows(run.newest("candidates"), "candidates")
    wanted = {row["passage_id"] for row in qrels + candidates}
    passages = run.table("corpus", "passages").where("passage_id", sorted(wanted)).to_pylist()
    texts = {row["passage_id"]: _text(row["title"], row["text"], full) for row in passages}

    yield f"[bold]{escape(query_id)}[/] ({queries[0]['split']})  {escape(queries[0]['text'])}"
    judged = ([row["passage_id"], row["relevance"], texts.get(row["passage_id"])] for row in qrels)
    yield _table("Judged", ["passage", "relevance", "text"], judged)
    for sampler in dict.fromkeys(row["sampler"] for row in candidates):
        yield _of_sampler([row for row in candidates if row["sampler"] == sampler], texts, full)
    if synthetic:
        yield _of_negatives("Synthetic", ["negative_id", "positive_id", "difficulty", "reject_reason"], synthetic, full)
    for row in rows(run.newest("instances"), "instances"):
        yield _of_negatives(_of_instance(row), ["id", "source", "rank", "score"], row["negatives"], full)
    yield from _lacking(run)


def _like(query_id: str, ids: Sequence[str]) -> str:
    """Ids that hold `query_id`, the shortest first, or else one to see what they look like."""
    near = sorted((one for one in ids if query_id.casefold() in one.casefold()), key=len)[:_NEAR] if query_id else []
    if near:
        return f"Did you mean {' or '.join(map(repr, near))}?"
    return f"Ids there look like {ids[0]!r}." if ids else "It has none at all."


def _lacking(run: "Run") -> Iterator[str]:
    """What a run that ends early cannot show, and what is shown of an earlier stage instead."""
    from syneg.pipeline.graph import candidates_of

    last = {"gate": "synthetic", candidates_of(run.config): "candidates", "mix": "instances"}
    for stage, table in last.items():
        if stage in run.undone:
            earlier = run.newest(table)
            instead = f"The {table} shown are those of {earlier}" if earlier else f"There are no {table}"
            yield f"[yellow]{instead}: {stage} is not done.[/] To go on, run `syneg run CONFIG --to {stage}`."


def _of_sampler(rows: list[dict[str, Any]], texts: dict[str, str], full: bool) -> Table:
    rows.sort(key=lambda row: (row["rank"], row["passage_id"]))
    kept = sum(row["reject_reason"] is None for row in rows)
    title = f"{rows[0]['sampler']}: {kept} of {len(rows)} kept; positive_score {_cell(rows[0]['positive_score'])}"
    asked_for = [name for name in ("cross_score", "answer_probability") if any(row[name] is not None for row in rows)]
    columns = ["passage_id", "rank", "score", "margin", *asked_for, "reject_reason"]
    shown = ([*(_cell(row[name]) for name in columns), texts.get(row["passage_id"])] for row in rows)
    return _table(title, [*columns, "text"], shown if full else islice(shown, _ROWS))


def _of_instance(row: dict[str, Any]) -> str:
    title = f"Instance with {row['positive_id']}: {row['reject_reason'] or 'trained on'}"
    return f"{title} (short of {row['short']})" if row.get("short") else title


def _of_negatives(title: str, columns: list[str], rows: list[dict[str, Any]], full: bool) -> Table:
    if any(row.get("borrowed_from") for row in rows):
        columns = [*columns, "borrowed_from"]
    shown = ([*(_cell(row[name]) for name in columns), _text("", row["text"], full)] for row in rows)
    return _table(title, [*columns, "text"], shown)


def _table(title: str, columns: list[str], rows: Iterable[Sequence[Any]]) -> Table:
    table = terminal.table(title, columns)
    for row in rows:
        table.add_row(*(escape(str("" if value is None else value)) for value in row))
    return table


def _cell(value: Any) -> str:
    """A number in short, all else as it is: what is cut of an id cannot be copied."""
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else str(value)


def _text(title: str, text: str, full: bool) -> str:
    whole = passage_text(title, text)
    return whole if full or len(whole) <= _CHARS else f"{whole[:_CHARS]} …"
