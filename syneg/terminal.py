"""What a run looks like in a terminal: one live line per stage, then tables."""

import threading
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from syneg import redaction
from syneg.cost import Estimate
from syneg.differences import probability, signed_points
from syneg.pipeline import Finished, Step
from syneg.stage import Stage
from syneg.store.manifest import Manifest

if TYPE_CHECKING:  # they import numpy and pyarrow
    from syneg.experiment.analysis import Analysis, Comparison
    from syneg.experiment.results import Results
    from syneg.experiment.verdict import Verdict
    from syneg.standings import Standings

# Without a terminal (a log, CI) progress is a line now and then instead of a line that moves.
_LOG_EVERY_SECONDS = 15.0


class Progress:
    """Shows each stage as it goes: a `pipeline.Listener`.

    The time goes on where a stage has nothing new to say, as an engine has not until its first answers are whole.
    `label` stands before every line, where several runs go side by side.
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
                f"{self._label}  … {name:<12} {said}  ({now - self._began[name]:.0f} s)"
                for name, said in list(self._said.items())
                if now - self._began[name] >= self._every  # a stage that ends sooner needs no line
            ]
            if self._console.is_terminal:
                self._status.update(escape(redaction.redacted("   ".join(lines))))
                continue
            for line in lines:
                self._print(line)

    def finished(self, stage: Stage, result: Manifest, reused: bool) -> None:
        self._said.pop(stage.name, None)
        rejected = f", {sum(result.rejected.values()):,} rejected" if result.rejected else ""
        rows = f"{result.rows_in:,} in → {result.rows_out:,} out{rejected}"
        self._print(f"{self._label}✓ {stage.name:<12} {rows}  ({'reused' if reused else f'{result.seconds:.1f} s'})")
        for warning in result.facts.get("warnings", ()):
            self._print(f"{self._label}  ! {warning}", style="yellow")

    def _print(self, line: str, style: str | None = None) -> None:
        self._console.print(redaction.redacted(line), style=style, markup=False, highlight=False)


def stage_table(finished: Finished) -> Table:
    """Rows in, out and rejected by reason, and seconds, of every stage."""
    table = Table("stage", title=f"Run {finished.config.name}", title_justify="left")
    for heading in ("rows in", "rows out", "rejected", "seconds"):
        table.add_column(heading, justify="right" if heading != "rejected" else "left")
    for name, made in finished.manifests.items():
        reasons = "\n".join(f"{reason} {count:,}" for reason, count in made.rejected.items())
        seconds = "reused" if name in finished.reused else f"{made.seconds:.1f}"
        table.add_row(name, f"{made.rows_in:,}", f"{made.rows_out:,}", reasons, seconds)
    return table


def score_table(finished: Finished) -> Table:
    """The means of every system on the test queries: base, tuned and, where they are asked for, ADORE and BM25."""
    facts = finished.manifests["evaluate"].facts
    systems: dict[str, dict[str, float]] = facts["scores"]
    table = Table("system", title=f"Scores on {facts['queries']} test queries", title_justify="left")
    measures = list(next(iter(systems.values())))
    for measure in measures:
        table.add_column(measure, justify="right")
    for system, scores in systems.items():
        table.add_row(system, *(f"{scores[measure]:.4f}" for measure in measures))
    return table


def cost_table(estimates: Sequence[Estimate]) -> Table:
    """What each stage should take: an estimate from the rates in the config."""
    table = Table("stage", title="Estimated from resources.estimate, not measured", title_justify="left")
    for heading in ("rows", "tokens", "stored", "GPUs", "hours", "USD"):
        table.add_column(heading, justify="right")
    for one in estimates:
        tokens = f"{one.tokens:,}" if one.tokens else ""
        price = "" if one.usd is None else f"{one.usd:,.2f}"
        stored = f"{one.bytes / 2**30:,.2f} GiB" if one.bytes else ""
        hours = f"{one.seconds / 3600:,.2f}"
        table.add_row(one.stage, f"{one.rows:,}", tokens, stored, f"{one.gpus:g}" if one.gpus else "", hours, price)
    total = None if estimates[0].usd is None else sum(one.usd or 0.0 for one in estimates)
    hours = sum(one.seconds for one in estimates) / 3600
    table.add_row("in all", "", "", "", "", f"{hours:,.2f}", "" if total is None else f"{total:,.2f}")
    return table


def plan_table(steps: list[Step]) -> Table:
    """What is done and what would run."""
    table = Table("stage", "fingerprint", "state", title="Plan", title_justify="left")
    for step in steps:
        if step.fingerprint is None or step.unreachable:
            state = "not known: object storage could not be reached"
        elif step.manifest is not None:
            state = f"done, {step.manifest.rows_out:,} rows"
        else:
            state = "would run"
        table.add_row(step.stage.name, step.fingerprint or "?", state)
    return table


def print_outcome(console: Console, results: "Results", analysis: "Analysis", verdict: "Verdict", page: str) -> None:
    """What came of an experiment: how small a gain can be seen, the numbers, which arm to use, and what to bear in
    mind."""
    console.print(f"\n{verdict.power}\n", highlight=False)
    console.print(_arms(results, analysis))
    if analysis.with_rival:
        title = f"Against {analysis.rival}: {analysis.measure}, in points"
        console.print(_differences(title, list(analysis.with_rival.values())))
    console.print(f"\n{verdict.sentence}\n", highlight=False, style="bold")
    for caveat in verdict.caveats:
        console.print(f"- {caveat}", highlight=False)
    console.print(f"\nReport: {page}", highlight=False, markup=False, soft_wrap=True)  # the path is to be copied


def _arms(results: "Results", analysis: "Analysis") -> Table:
    """Each arm's means over queries and seeds, and its difference from its base, in points."""
    table = Table("arm", title=f"Means over {len(results.queries):,} queries", title_justify="left")
    for measure in results.measures:
        table.add_column(measure, justify="right")
    table.add_column("over base", justify="right")
    table.add_column("95 %")
    table.add_column("p (Holm)", justify="right")
    for arm in results.arms.values():
        means = [f"{arm.values[measure].mean():.4f}" for measure in results.measures]
        compared = analysis.with_base.get(arm.name)
        if compared is None:
            table.add_row(arm.name, *means, "", "", "")
            continue
        found = compared.found
        span = f"{signed_points(found.low)} to {signed_points(found.high)}"
        table.add_row(arm.name, *means, signed_points(found.difference), span, probability(compared.adjusted_p))
    if results.bm25:
        table.add_row("bm25", *(f"{results.bm25[measure].mean():.4f}" for measure in results.measures), "", "", "")
    return table


def standing_tables(standings: "Standings") -> Iterator[Table]:
    """By collection the means of every system, and the differences of models, in points; then all collections."""
    for name, standing in standings.collections.items():
        table = Table("model", title=f"{name}: means over {len(standing.queries):,} queries", title_justify="left")
        for measure in standings.measures:
            table.add_column(measure, justify="right")
        for system, values in standing.values.items():
            table.add_row(escape(system), *(f"{values[measure].mean():.4f}" for measure in standings.measures))
        yield table
        if standing.comparisons:
            yield _differences(f"{name}: {standings.measure}, in points", standing.comparisons)
    if len(standings.collections) > 1:
        table = Table("model", *map(escape, standings.collections), "mean", title=f"{standings.measure} by collection")
        table.title_justify = "left"
        for system, means in standings.by_collection().items():
            table.add_row(escape(system), *(f"{mean:.4f}" for mean in means), f"{sum(means) / len(means):.4f}")
        yield table


def _differences(title: str, comparisons: "Sequence[Comparison]") -> Table:
    table = Table("", "difference", "95 %", "p (Holm)", "better", "worse", title=title, title_justify="left")
    for one in comparisons:
        found = one.found
        table.add_row(
            f"{escape(one.treated)} over {escape(one.baseline)}",
            signed_points(found.difference),
            f"{signed_points(found.low)} to {signed_points(found.high)}",
            probability(one.adjusted_p),
            f"{found.better:,}",
            f"{found.worse:,}",
            style="bold" if one.is_shown else None,
        )
    return table
