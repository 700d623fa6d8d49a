"""Two runs side by side."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from syneg.commands import terminal
from syneg.commands.arguments import Root
from syneg.differences import probability, signed_interval, signed_points

if TYPE_CHECKING:
    from syneg.comparison import Comparison, ScoreChange

_CAUSES = {
    "same": "[dim]the same[/]",
    "settings": "its settings differ",
    "inputs": "what it reads differs",
    "version": "a file or model that it names, or syneg itself, differs",
    "only_a": "only in A",
    "only_b": "only in B",
}


def compare(
    run_a: Annotated[
        str, typer.Argument(metavar="RUN_A", help="A run's folder or name, or an earlier one's run-DIGEST.json.")
    ],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="As RUN_A; differences are B - A.")],
    root: Root = "out",
) -> None:
    """Show what two runs differ in: settings, data, and scores, by a paired test over shared queries.

    Of a run that has not come to its end, what is done is compared.
    """
    from syneg import comparison, runs

    a, b = runs.load(run_a, root), runs.load(run_b, root)
    found = comparison.compare(a, b)
    console = terminal.console()
    terminal.say(console, f"A: {run_a}\nB: {run_b}")
    for called, one in (("A", a), ("B", b)):
        if lacking := one.standing(called):
            console.print(lacking, style="yellow", highlight=False, markup=False)
    console.print(_settings(found) if found.settings else "\nNo setting differs.")
    console.print(_stages(found))
    if not found.scores:
        console.print("There are no scores of the same system and measure in both, so nothing to test.")
        return
    console.print(_scores(found))
    if not found.same_questions:
        console.print("[yellow]The corpora differ[/]: queries were matched by id, and an id may mean another query.")


def _settings(found: "Comparison") -> Table:
    table = terminal.table("Settings", ["setting", "A", "B"])
    for change in found.settings:
        table.add_row(escape(change.key), escape(str(change.a)), escape(str(change.b)))
    return table


def _stages(found: "Comparison") -> Table:
    table = terminal.table("Data", ["stage", "", "rows out A", "rows out B", "rejected A → B"])
    for change in found.stages:
        rows = ["" if rows is None else f"{rows:,}" for rows in (change.rows_a, change.rows_b)]
        rejected = ", ".join(f"{one.key} {one.a or 0} → {one.b or 0}" for one in change.rejected)
        table.add_row(change.stage, _CAUSES[change.cause], *rows, rejected)
    return table


def _scores(found: "Comparison") -> Table:
    headings = ["system", "measure", "A", "B", "B - A, points", "95 %", "p", "queries"]
    table = terminal.table("Scores over the shared queries, paired; p not corrected", headings)
    for change in found.scores:
        table.add_row(change.system, change.measure, f"{change.mean_a:.4f}", f"{change.mean_b:.4f}", *_test(change))
    return table


def _test(change: "ScoreChange") -> list[str]:
    test = change.difference
    if test is None:
        return ["", "", "", "none shared"]
    interval = signed_interval(test.low, test.high)
    return [signed_points(test.difference), interval, probability(test.p), str(test.queries)]
