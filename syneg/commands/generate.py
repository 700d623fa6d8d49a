"""Looking at what the LLM is asked and what it writes, by a few requests, before a whole run is paid for."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from syneg.cluster import session
from syneg.commands import terminal
from syneg.commands.arguments import ConfigFile, Overrides
from syneg.config import overrides
from syneg.config.run import RunConfig
from syneg.errors import BadInput
from syneg.pipeline import checks, pipeline
from syneg.pipeline.run import Run
from syneg.pipeline.scratch import in_scratch_store
from syneg.redaction import redacted


def generate(
    config: ConfigFile,
    settings: Overrides = None,
    preview: Annotated[int, typer.Option(min=1, metavar="N", help="Pairs that the LLM is asked for.")] = 5,
    rejected: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Ask nothing; print what the gate said, and N examples of each reason."),
    ] = None,
) -> None:
    """Have the LLM write a few negatives; print prompts, answers and the gate's verdicts. Nothing is stored."""
    from syneg.generate import preview as shown

    resolved = overrides.load(config, settings or ())
    if rejected is not None:
        _print_verdicts(resolved, rejected)
        return
    fewer = {"max_pairs": min(preview, resolved.generate.max_pairs or preview), "samples_per_pair": 1}
    trial = resolved.model_copy(update={"generate": resolved.generate.model_copy(update=fewer)})
    console = Console(emoji=False)
    with in_scratch_store(trial) as moved:
        with terminal.Progress(console) as progress:
            finished = pipeline.run(moved, progress, last="gate")
        tables = finished.table("generate", "answers"), finished.table("gate", "synthetic")
        found = list(shown.looks(*tables, moved.generate))
    for look in found:
        console.rule(escape(f"query {look.query_id}, positive {look.positive_id}"))
        for message in look.messages:
            console.print(_box(f"prompt: {message['role']}", message["content"]))
        drawn = ", ".join(f"{name} {value}" for name, value in look.attributes.items()) or "no attributes"
        console.print(f"asked for: {drawn}", highlight=False, markup=False)  # a box would cut a title as long
        console.print(_box("answer", look.answer))
        for reason in look.verdicts:
            console.print("[green]accepted[/]" if reason is None else f"[red]rejected[/]: {reason}")


def _box(title: str, text: str) -> Panel:
    return Panel(escape(redacted(text)), title=title, title_align="left")


def _print_verdicts(config: RunConfig, examples: int) -> None:
    from syneg.generate import verdicts

    made = {step.stage.name: step.manifest for step in pipeline.look(config) if step.manifest}
    if "gate" not in made:
        raise BadInput("--rejected reads what the gate said, which is not done. `syneg run CONFIG --to gate` does it.")
    finished = Run(config, made)
    found = verdicts.verdicts(finished.table("gate", "synthetic"), finished.table("generate", "answers"), examples)
    for line in verdicts.as_markdown(config.name, found):
        typer.echo(line)


def attributes(
    config: ConfigFile,
    settings: Overrides = None,
    passages: Annotated[int, typer.Option(min=1, metavar="N", help="Passages that the LLM is shown.")] = 20,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the lists there; it must not exist.")] = None,
) -> None:
    """Have the LLM, asked once, propose lists of attributes from a sample of the corpus, for a person to review."""
    from syneg.generate import proposal

    if out is not None:
        _check_new(out)
    resolved = overrides.load(config, settings or ())
    checks.engine(resolved.generate.engine, "generate.engine")
    console = terminal.console(stderr=True)
    with in_scratch_store(resolved) as moved:
        with terminal.Progress(console) as progress:
            finished = pipeline.run(moved, progress, last="corpus")
        sample = proposal.sample(finished.table("corpus", "passages"), passages)
    with session.joined(resolved.resources, resolved.storage):
        text = proposal.as_yaml(proposal.propose(sample, resolved.generate, resolved.resources), len(sample))
    if out is None:
        print(text, end="")
    else:
        out.write_text(text, encoding="utf-8")
        terminal.say(console, f"Wrote {out}. Read it, then set generate.attributes={out}")


def _check_new(out: Path) -> None:
    """Raises BadInput where no new file can be written, so that no answer is paid for and lost."""
    try:
        out.touch(exist_ok=False)
        out.unlink()
    except OSError as error:
        raise BadInput(
            f"--out: {out} cannot be written ({error.strerror}). Give the path of a new file in a folder that is there."
        ) from error


def sampled_cost(config: RunConfig) -> str:
    """What generation would ask for and cost, from a sample of its prompts. Raises BadInput without a corpus."""
    from syneg.generate.estimate import estimate

    if not config.mix.takes_synthetic:
        return f"Generation: none, since mix.strategy={config.mix.strategy} takes no synthetic negatives."
    made = {step.stage.name: step.manifest for step in pipeline.look(config) if step.manifest}
    if "generate" in made:
        return f"Generation: done, {made['generate'].rows_out:,} rows; nothing more is asked of the LLM for them."
    if "corpus" not in made:
        raise BadInput("--sample reads the corpus, which is not done. `syneg run CONFIG --to corpus` makes it first.")
    run = Run(config, {"corpus": made["corpus"]})
    passages, queries, qrels = (run.table("corpus", name) for name in ("passages", "queries", "qrels"))
    found = estimate(passages, queries, qrels, config.generate)
    price, (device, seconds) = found.price(config.generate), found.taken(config.resources)
    return (
        f"Generation: {found.requests:,} requests; about {found.input_tokens:,} tokens read and "
        f"{found.output_tokens:,} written, {found.most_output_tokens:,} at most (counted by {found.counted_by}); "
        f"{terminal.duration(seconds)} of one {device} at the rates of resources.estimate"
        + (f"; {price:,.2f} by the prices of generate.budget." if price else "; generate.budget has no prices.")
    )
