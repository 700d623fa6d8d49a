"""What a run looks like in a terminal: one live line per stage, then tables."""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Column, Table
from rich.text import Text

from syneg import redaction
from syneg.differences import counted, probability, signed_interval, signed_points
from syneg.pipeline.cost import Estimate
from syneg.pipeline.pipeline import Step
from syneg.pipeline.run import Run
from syneg.report.verdict import of_run
from syneg.stage import Stage
from syneg.store.manifest import Manifest
from syneg.watch.progress import clock

if TYPE_CHECKING:  # they import numpy and pyarrow
    from syneg.experiment.analysis import Analysis, Comparison
    from syneg.experiment.results import Results
    from syneg.experiment.standings import Standings
    from syneg.experiment.verdict import Verdict

# Without a terminal (a log, CI) progress is a line now and then instead of a line that moves.
_LOG_EVERY_SECONDS = 15.0
# Columns without a terminal: ids are whole in their cells, to be copied and searched for.
_WIDE = 1_000


def console(stderr: bool = False) -> Console:
    """What every command prints on. Users' texts and ids hold `:warning:` and the like, which stay as they are."""
    made = Console(stderr=stderr, emoji=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _WIDE
    return made


def say(console: Console, line: str, style: str | None = None) -> None:
    """Prints a line as it is, unbroken: paths and commands in it are to be copied."""
    console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)


def table(title: str, left: Sequence[str], right: Sequence[str] = ()) -> Table:
    """An empty table with the headings `left`, then `right`, justified so. What is too long for a cell goes on in its
    next line: rich's default would cut it. The name of a stage is short, and never broken.

    Cells are markup, so what a user brought is escaped; the title is text.
    """
    columns = [Column(heading, overflow="fold", no_wrap=heading == "stage") for heading in left]
    columns += [Column(heading, justify="right", overflow="fold") for heading in right]
    return Table(*columns, title=escape(title), title_justify="left")


def filled(title: str, left: Sequence[str], right: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A `table` of `rows`, without the columns of `right` in which no row has anything."""
    all_left = range(len(left))
    kept = [*all_left, *(at for at in range(len(left), len(left) + len(right)) if any(row[at] for row in rows))]
    shown = table(title, left, [right[at - len(left)] for at in kept[len(left) :]])
    for row in rows:
        shown.add_row(*(row[at] for at in kept))
    return shown


class Progress:
    """Shows each stage as it goes: a `pipeline.Listener`.

    The time goes on where a stage has nothing new to say, as an engine has not until its first answers are whole.
    `label` precedes every line, where several runs go side by side.
    """

    def __init__(self, console: Console, every_seconds: float = _LOG_EVERY_SECONDS, label: str = "") -> None:
        self._console = console
        self._label = label
        self._every = 0.5 if console.is_terminal else every_seconds
        self._status = Status("", console=console)
        self._said: dict[str, str] = {}  # by the stages that run, which may be two
        self._began: dict[str, float] = {}
        self._ended = threading.Event()
        self._clock = threading.Thread(target=self._tick, name="progress", daemon=True)

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._status.start()
        self._clock.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._clock.join()
        self._status.stop()

    def started(self, stage: Stage) -> None:
        self._began[stage.name] = time.monotonic()
        self._said[stage.name] = ""

    def progressed(self, stage: Stage, message: str) -> None:
        self._said[stage.name] = message

    def _tick(self) -> None:
        while not self._ended.wait(self._every):
            now = time.monotonic()
            lines = [
                self._line(name, redaction.redacted(said), now - self._began[name])
                for name, said in list(self._said.items())
                if now - self._began[name] >= self._every  # a stage that ends sooner needs no line
            ]
            if self._console.is_terminal:
                self._status.update(escape("\n  ".join(lines)))  # two columns are the spinner's
                continue
            for line in lines:
                self._print(line)

    def _line(self, stage: str, said: str, seconds: float) -> str:
        """What a stage says and for how long it has run. A line that moves has to fit: of a broken one a part stays."""
        head, tail = f"{self._label}  … {stage:<12} ", f"  ({seconds:.0f} s)"
        text = Text(said)
        if self._console.is_terminal:
            room = self._console.width - 2 - cell_len(head + tail)
            text.truncate(max(room, 0), overflow="ellipsis")
        return head + text.plain + tail

    def finished(self, stage: Stage, result: Manifest, reused: bool) -> None:
        said = self._said.pop(stage.name, "")
        rejected = f", {sum(result.rejected.values()):,} rejected" if result.rejected else ""
        rows = f"{result.rows_in:,} in → {result.rows_out:,} out{rejected}"
        self._print(f"{self._label}✓ {stage.name:<12} {rows}  ({'reused' if reused else f'{result.seconds:.1f} s'})")
        # A stage that began and is reused all the same has said why.
        for warning in [*([said] if reused and said else []), *result.facts.get("warnings", ())]:
            self._print(f"{self._label}  ! {warning}", style="yellow")

    def _print(self, line: str, style: str | None = None) -> None:
        self._console.print(redaction.redacted(line), style=style, markup=False, highlight=False)


def stage_table(run: Run) -> Table:
    """Rows in, out and rejected by reason, and seconds, of every stage."""
    shown = table(f"Run {run.config.name}", ["stage"], ["rows in", "rows out"])
    shown.add_column("rejected", overflow="fold")
    shown.add_column("seconds", justify="right")
    for name, made in run.manifests.items():
        reasons = "\n".join(f"{reason} {count:,}" for reason, count in made.rejected.items())
        seconds = "reused" if name in run.reused else f"{made.seconds:.1f}"
        shown.add_row(name, f"{made.rows_in:,}", f"{made.rows_out:,}", reasons, seconds)
    return shown


def score_table(run: Run) -> Table:
    """The means of every system on the test queries: base, tuned and, where they are asked for, ADORE and BM25."""
    facts = run.manifests["evaluate"].facts
    systems: dict[str, dict[str, float]] = facts["scores"]
    measures = list(next(iter(systems.values())))
    shown = table(f"Scores on {counted(facts['queries'], 'test query')}", ["system"], measures)
    for system, scores in systems.items():
        shown.add_row(system, *(f"{scores[measure]:.4f}" for measure in measures))
    return shown


def print_scores(console: Console, run: Run) -> None:
    """What came of a run: the scores, whether training helped, and what to bear in mind."""
    facts: Mapping[str, Mapping[str, Any]] = {name: made.facts for name, made in run.manifests.items()}
    console.print(score_table(run))
    reached = of_run(facts["evaluate"], facts.get("probe", {}).get("warnings", ()))
    _print_verdict(console, reached.sentence, reached.caveats)


def _print_verdict(console: Console, sentence: str, caveats: Sequence[str]) -> None:
    console.print(f"\n{sentence}\n", highlight=False, markup=False, style="bold")
    for caveat in caveats:
        console.print(f"- {caveat}", highlight=False, markup=False)
    console.print()


def cost_table(estimates: Sequence[Estimate], default_rates: bool) -> Table:
    """What each stage should take: an estimate from the rates in the config."""
    rows = [
        (
            one.stage,
            f"{one.rows:,}",
            f"{one.tokens:,}" if one.tokens else "",
            _size(one.bytes),
            f"{one.gpus:g}" if one.gpus else "",
            duration(one.seconds),
            "" if one.usd is None else f"{one.usd:,.2f}",
        )
        for one in estimates
    ]
    total = None if estimates[0].usd is None else sum(one.usd or 0.0 for one in estimates)
    price = "" if total is None else f"{total:,.2f}"
    rows.append(("in all", "", "", "", "", duration(sum(one.seconds for one in estimates)), price))
    title = "Estimated from resources.estimate, not measured"
    if default_rates:
        title = "Estimated by the default rates of resources.estimate, which were not measured here"
    return filled(title, ["stage"], ["rows", "tokens", "stored", "GPUs", "time", "USD"], rows)


def duration(seconds: float) -> str:
    return clock(seconds) if seconds >= 1 else "< 1 s"


def _size(count: int) -> str:
    """Of so many bytes; nothing where they are too few to matter."""
    if count >= 2**30:
        return f"{count / 2**30:,.1f} GiB"
    return f"{count / 1e6:,.1f} MB" if count >= 5e4 else ""


def plan_table(steps: list[Step]) -> Table:
    """What is done and what would run."""
    shown = table("Plan", ["stage", "fingerprint", "state"])
    for step in steps:
        if step.fingerprint is None or step.unreachable:
            state = "not known: object storage could not be reached"
        elif step.manifest is not None:
            state = f"done, {step.manifest.rows_out:,} rows"
        else:
            state = "would run"
        shown.add_row(step.stage.name, step.fingerprint or "?", state)
    return shown


def print_outcome(console: Console, results: "Results", analysis: "Analysis", verdict: "Verdict", page: str) -> None:
    """What came of an experiment: how small a gain can be seen, the numbers, which arm to use, and what to bear in
    mind."""
    console.print(f"\n{verdict.power}\n", highlight=False, markup=False)
    console.print(_arms(results))
    console.print(_differences(f"Over the base: {analysis.measure}, in points", list(analysis.with_base.values())))
    if analysis.with_rival:
        title = f"Against {analysis.rival}: {analysis.measure}, in points"
        console.print(_differences(title, list(analysis.with_rival.values())))
    _print_verdict(console, verdict.sentence, verdict.caveats)
    say(console, f"Report: {page}")


def _arms(results: "Results") -> Table:
    """Each arm's means over queries and seeds."""
    shown = table(f"Means over {counted(len(results.queries), 'query')}", ["arm"], results.measures)
    systems = {arm.name: arm.values for arm in results.arms.values()}
    if results.bm25:
        systems["bm25"] = results.bm25
    for name, values in systems.items():
        shown.add_row(escape(name), *(f"{values[measure].mean():.4f}" for measure in results.measures))
    return shown


def standing_tables(standings: "Standings") -> Iterator[Table]:
    """By collection the means of every system, and the differences of models, in points; then all collections."""
    for name, standing in standings.collections.items():
        means = table(f"{name}: means over {counted(len(standing.queries), 'query')}", ["model"], standings.measures)
        for system, values in standing.values.items():
            means.add_row(escape(system), *(f"{values[measure].mean():.4f}" for measure in standings.measures))
        yield means
        if standing.comparisons:
            yield _differences(f"{name}: {standings.measure}, in points", standing.comparisons)
    if len(standings.collections) > 1:
        title, headings = f"{standings.measure} by collection", ["model", *map(escape, standings.collections), "mean"]
        overall = table(title, headings)
        for system, by_collection in standings.by_collection().items():
            mean = sum(by_collection) / len(by_collection)
            overall.add_row(escape(system), *(f"{each:.4f}" for each in by_collection), f"{mean:.4f}")
        yield overall


def _differences(title: str, comparisons: "Sequence[Comparison]") -> Table:
    shown = table(title, ["", "difference", "95 %", "p (Holm)", "better", "worse"])
    for one in comparisons:
        found = one.found
        shown.add_row(
            f"{escape(one.treated)} over {escape(one.baseline)}",
            signed_points(found.difference),
            signed_interval(found.low, found.high),
            probability(one.adjusted_p),
            f"{found.better:,}",
            f"{found.worse:,}",
            style="bold" if one.is_shown else None,
        )
    return shown
