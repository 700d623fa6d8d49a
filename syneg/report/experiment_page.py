"""experiment.html: one self-contained page from experiment.json."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from markupsafe import Markup

from syneg.report import plots_of_arms
from syneg.report.page import intervals, template


def render(content: Mapping[str, Any]) -> str:
    """The page as HTML text. `content` is that of experiment.json."""
    arms: Sequence[Mapping[str, Any]] = content["arms"]
    return template("experiment.html").render(
        content=content,
        first=content["measures"][0],
        with_base=intervals({arm["name"]: arm["with_base"] for arm in arms if arm["with_base"]}),
        with_rival=intervals({arm["name"]: arm["with_rival"] for arm in arms if arm["with_rival"]}),
        plots=[
            {"name": name, "title": title, "caption": caption, "svg": Markup(svg)}
            for name, title, caption, svg in _plots(content)
        ],
        stages=_stages(arms),
        config=yaml.safe_dump(dict(content["config"]), sort_keys=False, allow_unicode=True),
        resolved=yaml.safe_dump(dict(content["resolved"]), sort_keys=False, allow_unicode=True),
    )


def varied(arms: Sequence[Mapping[str, Any]]) -> tuple[str, dict[str, float]] | None:
    """The one numeric setting by which the tuned arms differ, and its value by arm; None if there is no such one."""
    tuned = [arm for arm in arms if arm["base"] is not None]
    keys = {key for arm in tuned for key in arm["settings"] if key != "tuned"}
    moving = [key for key in keys if len({repr(arm["settings"].get(key)) for arm in tuned}) > 1]
    if len(moving) != 1 or len(tuned) < 3:
        return None
    values = {arm["name"]: arm["settings"].get(moving[0]) for arm in tuned}
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values.values()):
        return None
    return moving[0], {name: float(value) for name, value in values.items() if value is not None}


def _plots(content: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """(name, title, caption, svg) of every plot that there are numbers for."""
    arms, measure = content["arms"], content["measures"][0]
    by_name = {arm["name"]: arm for arm in arms}
    by_seed = {name: arm["scores"][measure]["by_seed"] for name, arm in by_name.items()}
    spans = {}
    for name, arm in by_name.items():
        if found := arm["with_base"]:
            base = by_name[arm["base"]]["scores"][measure]["mean"]
            spans[name] = (base + found["low"], base + found["high"])
    bm25 = content["bm25"][measure] if content["bm25"] else None
    yield (
        "means",
        f"{measure} by arm",
        "The bar is the 95 % interval of the arm's difference from its base, over queries and seeds.",
        plots_of_arms.means_by_arm(by_seed, spans, bm25, measure),
    )
    if setting := varied(arms):
        key, values = setting
        bases = {arm["base"] for arm in arms if arm["base"] is not None}
        base = by_name[next(iter(bases))]["scores"][measure]["mean"] if len(bases) == 1 else None
        points = {value: by_seed[name] for name, value in values.items()}
        logarithmic = min(points) > 0 and max(points) / min(points) >= 5
        svg = plots_of_arms.means_by_setting(points, base, key, measure, logarithmic)
        yield "setting", f"{measure} by {key}", "A dot a seed; dashed: the untuned model.", svg
    runs = {arm["name"]: arm["trainings"][0] for arm in arms if arm["trainings"]}
    if any(run["loss"] for run in runs.values()):
        curves = {name: run["loss"] for name, run in runs.items()}
        svg = plots_of_arms.curves_by_arm(curves, {}, "losses", "InfoNCE loss, running mean")
        caption = (
            "Of the first seed. Arms with other negatives have other losses: the height says little, the shape more."
        )
        yield "losses", "Loss by arm", caption, svg
        curves = {name: run["gradient_norm"] for name, run in runs.items()}
        notes = {
            arm["name"]: f"(variance {variance:.3g})"
            for arm in arms
            if (variance := _mean([run["gradient_norm_variance"] for run in arm["trainings"]])) is not None
        }
        svg = plots_of_arms.curves_by_arm(curves, notes, "gradients", "gradient norm before clipping, running mean")
        caption = (
            "Of the first seed; the variance of the norm over the steps is the mean of all seeds'. It is our own "
            "measure, and not comparable to a variance that others report."
        )
        yield "gradients", "Gradient norm by arm", caption, svg


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _stages(arms: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Seconds by arm and stage, summed over the seeds."""
    return {
        arm["name"]: {
            stage: sum(run["seconds"].get(stage, 0.0) for run in arm["trainings"])
            for stage in arm["trainings"][0]["seconds"]
        }
        for arm in arms
        if arm["trainings"]
    }
