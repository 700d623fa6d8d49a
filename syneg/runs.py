"""The folder of a run, `{root}/runs/{name}`: what a person opens. Everything in it is made from finished stages."""

import json
from pathlib import Path

import yaml

from syneg.pipeline import Finished
from syneg.report import page, publish
from syneg.store import files

REPORT = "report.html"


def folder(root: str, name: str) -> str:
    return files.join(root, "runs", name)


def publish_run(finished: Finished) -> str:
    """Writes config.yaml, report.json, report.html, model/ and, last, run.json. Returns the path of report.html."""
    config = finished.config
    target = folder(config.store.root, config.name)
    content = Path(finished.folder("report", "content"))
    report = publish.publish(_summary(finished), content)
    files.put(
        files.join(target, "config.yaml"), yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False).encode()
    )
    files.put(files.join(target, "report.json"), json.dumps(report, indent=1, ensure_ascii=False).encode())
    files.put(files.join(target, REPORT), page.render(report, content).encode("utf-8", "replace"))
    _put_model(finished, target)
    fingerprints = {name: made.fingerprint for name, made in finished.manifests.items()}
    record = {"name": config.name, "stages": fingerprints, "config": config.model_dump(mode="json")}
    files.put(files.join(target, "run.json"), json.dumps(record, indent=1).encode())
    return files.join(target, REPORT)


def _summary(finished: Finished) -> publish.RunSummary:
    return {
        "name": finished.config.name,
        "config": finished.config.model_dump(mode="json"),
        "stages": [
            {
                "stage": name,
                "fingerprint": made.fingerprint,
                "seconds": made.seconds,
                "rows_in": made.rows_in,
                "rows_out": made.rows_out,
                "rejected": made.rejected,
                "reused": name in finished.reused,
                "facts": made.facts,
            }
            for name, made in finished.manifests.items()
        ],
    }


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
    for part in model:
        source = files.join(finished.folder("train", "model"), part.name)
        files.put(files.join(target, "model", part.name), files.read(source))
