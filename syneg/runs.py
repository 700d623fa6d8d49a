"""The folder of a run, `{root}/runs/{name}`: what a person opens. Everything in it is made from finished stages."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from syneg.config.run import RunConfig
from syneg.errors import BadInput
from syneg.pipeline import cost
from syneg.pipeline.pipeline import look
from syneg.pipeline.run import Run
from syneg.report import cards, licences, page, publish
from syneg.settings.generate import Layout
from syneg.store import files, folders, manifest, models
from syneg.store.layout import RUNS
from syneg.watch import record

REPORT = "report.html"


def folder(root: str, name: str) -> str:
    return files.join(root, RUNS, name)


def load(run: str, root: str = "out") -> Run:
    """The run that `run` names: a run's folder, its name under `root`, or the record of an earlier run of that name.

    Of a run that has not come to its end it holds the stages that are done. The store is looked for where the folder
    lies, so that one that was moved or copied whole is read as well.

    Raises:
        BadInput: there is no such run, or another version of syneg wrote it.
    """
    address = _record_of(run, root)
    written = record.load(address)
    assert written is not None  # `_record_of` has seen it
    try:
        config = RunConfig.model_validate_json(json.dumps(written.config))
    except ValidationError as error:
        raise BadInput(f"{address}: its config is not one of this version of syneg ({error}).") from error
    place = address if files.is_remote(address) else os.path.abspath(address)  # a relative one may lack its parents
    root = place.rsplit("/", 3)[0]
    config = config.model_copy(update={"store": config.store.model_copy(update={"root": root})})
    found = {stage: manifest.load(root, stage, fingerprint) for stage, fingerprint in written.stages.items()}
    missing = [stage for stage, made in found.items() if made is None]
    if missing:
        raise BadInput(f"{address}: the output of {', '.join(missing)} is no longer under {root}. Run it again.")
    return Run(config, {stage: made for stage, made in found.items() if made}, frozenset(found))


def _record_of(run: str, root: str) -> str:
    """The address of the record that `run` names."""
    run = run.rstrip("/")
    places = [record.path(place) for place in folders_of(run, root)]
    if run.endswith(".json"):
        places.append(run)
    for place in places:
        if files.exists(place):
            return place
    raise BadInput(
        f"There is no run {run!r}: found no {' and no '.join(places)}. Give a run's folder, e.g. out/runs/demo, or its "
        "name and, where that is not out, --root. A run is there once the first of its stages is done."
    )


def folders_of(run: str, root: str) -> list[str]:
    """Where the folder may lie that `run` names. What holds a slash is a path, all else may be a name as well."""
    run = run.rstrip("/")
    return [run] if "/" in run else [run, folder(root, run)]


def publish_run(run: Run, with_model: bool = True) -> str:
    """Writes config.yaml, report.json, report.html, model/, the cards and, last, the record that all is there. Returns
    the path of report.html.

    Without the model it stays where the stage `train` put it: the runs of an experiment would copy it many times.
    """
    config = run.config
    target = folder(config.store.root, config.name)
    summary = _summary(run)
    with tempfile.TemporaryDirectory(prefix="syneg-report-") as scratch:
        content = Path(scratch)
        folders.fetch_parts(run.folder("report", "content"), run.manifests["report"].folders["content"], content)
        report = publish.assemble(summary, content)
        page_html = page.render(report, content)
    files.put(
        files.join(target, "config.yaml"), yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False).encode()
    )
    files.put(files.join(target, "report.json"), json.dumps(report, indent=1, ensure_ascii=False).encode())
    files.put(files.join(target, REPORT), page_html.encode("utf-8", "replace"))
    origins = _origins(run)
    card = cards.model(summary, report, origins).encode("utf-8", "replace")
    if with_model:
        _put_model(run, target)
        files.put(files.join(target, "model", models.CARD), card)
    files.put(files.join(target, "model-card.md"), card)
    files.put(files.join(target, "dataset-card.md"), cards.dataset(summary, report, origins).encode("utf-8", "replace"))
    publish_record(run, run.manifests["train"].fingerprint if with_model else None)
    return files.join(target, REPORT)


def publish_record(run: Run, model: str | None = None) -> str:
    """Puts the record of what is done, also of a run that ends before its last stage. Returns its address.

    `model` as `record.put` takes it.
    """
    stages = {name: made.fingerprint for name, made in run.manifests.items()}
    return record.put(folder(run.config.store.root, run.config.name), run.config, stages, model)


def _summary(run: Run) -> publish.RunSummary:
    return {
        "name": run.config.name,
        "config": run.config.model_copy(update={"encoder": run.encoder}).model_dump(mode="json"),
        "layouts": by_layout(run),
        "storage_retries": sum(made.retries for name, made in run.manifests.items() if name not in run.reused),
        "stages": [
            {
                "stage": name,
                "fingerprint": made.fingerprint,
                "seconds": made.seconds,
                "rows_in": made.rows_in,
                "rows_out": made.rows_out,
                "rejected": made.rejected,
                "reused": name in run.reused,
                "finished": made.finished,
                "facts": made.facts,
            }
            for name, made in run.manifests.items()
        ],
    }


def by_layout(run: Run) -> dict[str, Mapping[str, Any]]:
    """Facts of what was generated by layout of the prompt: this run's, and the other one's where the store has it.

    The other one is of a run that differs in nothing but `generate.layout`.
    """
    config = run.config
    if "gate" not in run.manifests:
        return {}
    found: dict[str, Mapping[str, Any]] = {config.generate.layout: run.manifests["gate"].facts}
    for layout in get_args(Layout):
        if layout not in found and config.generate.engine.asks:
            generate = config.generate.model_copy(update={"layout": layout})
            steps = look(config.model_copy(update={"generate": generate}))
            (made,) = (step.manifest for step in steps if step.stage.name == "gate")
            found |= {layout: made.facts} if made else {}
    return found


def _origins(run: Run) -> cards.Origins:
    config = run.config
    engine = config.generate.engine.model_dump()
    seconds = {name: made.seconds for name, made in run.manifests.items() if name == "generate"}
    return cards.Origins(
        generator_licence=licences.of_model(engine["model"]) if "model" in engine else None,
        base_licence=licences.of_model(config.encoder.model),
        usd=cost.usd(seconds, config.resources),
    )


def _put_model(run: Run, target: str) -> None:
    """Copies the tuned model without its card, unless the run's folder holds this very one."""
    trained = run.manifests["train"]
    model = [part for part in trained.folders["model"] if part.name != models.CARD]
    there = dict(files.files_below(files.join(target, "model")))
    there.pop(models.CARD, None)
    known = record.load(record.path(target))
    if known and known.model == trained.fingerprint and there == {part.name: part.bytes for part in model}:
        return
    publish_record(run, model="")  # a death while it is copied leaves files of two models
    source = run.folder("train", "model")
    for part in model:
        folders.copy(files.join(source, part.name), files.join(target, "model", part.name))
