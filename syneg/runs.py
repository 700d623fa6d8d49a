"""The folder of a run, `{root}/runs/{name}`: what a person opens. Everything in it is made from finished stages."""

import json
import tempfile
from pathlib import Path

import yaml
from pydantic import ValidationError

from syneg import cost
from syneg.config import RunConfig
from syneg.errors import BadInput
from syneg.pipeline import Finished
from syneg.report import cards, licences, page, publish
from syneg.store import files, folders, manifest

REPORT = "report.html"


def folder(root: str, name: str) -> str:
    return files.join(root, "runs", name)


def load(run: str, root: str = "out") -> Finished:
    """The finished run that `run` names: a run's folder, or its name under `root`.

    The store is looked for where the folder lies, so that one that was moved or copied whole is read as well.

    Raises:
        BadInput: there is no such run, or another version of syneg wrote it.
    """
    target = run.rstrip("/") if files.exists(files.join(run, "run.json")) else folder(root, run)
    record = files.join(target, "run.json")
    if not files.exists(record):
        raise BadInput(
            f"There is no finished run {run!r}: neither {files.join(run, 'run.json')} nor {record} exists. "
            "Give a run's folder, e.g. out/runs/demo, or its name."
        )
    written = json.loads(files.read(record))
    try:
        config = RunConfig.model_validate_json(json.dumps(written["config"]))
    except ValidationError as error:
        raise BadInput(f"{record}: its config is not one of this version of syneg ({error}).") from error
    root = target.rsplit("/", 2)[0] if target.count("/") > 1 else "."
    config = config.model_copy(update={"store": config.store.model_copy(update={"root": root})})
    found = {stage: manifest.load(root, stage, fingerprint) for stage, fingerprint in written["stages"].items()}
    missing = [stage for stage, made in found.items() if made is None]
    if missing:
        raise BadInput(f"{target}: the output of {', '.join(missing)} is no longer under {root}. Run it again.")
    return Finished(config, {stage: made for stage, made in found.items() if made}, frozenset(found))


def publish_run(finished: Finished, with_model: bool = True) -> str:
    """Writes config.yaml, report.json, report.html, model/ and, last, run.json. Returns the path of report.html.

    Without the model it stays where the stage `train` put it: the runs of an experiment would copy it many times.
    """
    config = finished.config
    target = folder(config.store.root, config.name)
    summary = _summary(finished)
    with tempfile.TemporaryDirectory(prefix="syneg-report-") as scratch:
        content = Path(scratch)
        folders.fetch_parts(
            finished.folder("report", "content"), finished.manifests["report"].folders["content"], content
        )
        report = publish.publish(summary, content)
        page_html = page.render(report, content)
    files.put(
        files.join(target, "config.yaml"), yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False).encode()
    )
    files.put(files.join(target, "report.json"), json.dumps(report, indent=1, ensure_ascii=False).encode())
    files.put(files.join(target, REPORT), page_html.encode("utf-8", "replace"))
    if with_model:
        _put_model(finished, target)
    origins = _origins(finished)
    for name, card in (("dataset-card.md", cards.dataset), ("model-card.md", cards.model)):
        files.put(files.join(target, name), card(summary, report, origins).encode("utf-8", "replace"))
    fingerprints = {name: made.fingerprint for name, made in finished.manifests.items()}
    record = {"name": config.name, "stages": fingerprints, "config": config.model_dump(mode="json")}
    files.put(files.join(target, "run.json"), json.dumps(record, indent=1).encode())
    return files.join(target, REPORT)


def _summary(finished: Finished) -> publish.RunSummary:
    return {
        "name": finished.config.name,
        "config": finished.config.model_dump(mode="json"),
        "storage_retries": sum(
            made.retries for name, made in finished.manifests.items() if name not in finished.reused
        ),
        "stages": [
            {
                "stage": name,
                "fingerprint": made.fingerprint,
                "seconds": made.seconds,
                "rows_in": made.rows_in,
                "rows_out": made.rows_out,
                "rejected": made.rejected,
                "reused": name in finished.reused,
                "finished": made.finished,
                "facts": made.facts,
            }
            for name, made in finished.manifests.items()
        ],
    }


def _origins(finished: Finished) -> cards.Origins:
    config = finished.config
    engine = config.generate.engine.model_dump()
    seconds = {name: made.seconds for name, made in finished.manifests.items() if name == "generate"}
    return cards.Origins(
        generator_licence=licences.of_model(engine["model"]) if "model" in engine else None,
        base_licence=licences.of_model(config.encoder.model),
        usd=cost.usd(seconds, config.resources),
    )


def _put_model(finished: Finished, target: str) -> None:
    """Copies the tuned model, unless the run's folder holds this very one."""
    model = finished.manifests["train"].folders["model"]
    there = dict(files.files_below(files.join(target, "model")))
    record = files.join(target, "run.json")
    same_run = files.exists(record) and (
        json.loads(files.read(record))["stages"].get("train") == finished.manifests["train"].fingerprint
    )
    if same_run and there == {part.name: part.bytes for part in model}:
        return
    source = finished.folder("train", "model")
    for part in model:
        folders.copy(files.join(source, part.name), files.join(target, "model", part.name))
