"""A finished run in a store on disk, with tables but without having run anything."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from syneg import fingerprint, runs
from syneg.config import RunConfig
from syneg.graph import stages
from syneg.store import files, manifest, tables

MADE = {"syneg": "0.1.0", "ray": "2.60.0", "torch": "2.13.0", "transformers": "5.23.0"}


def write(
    root: Path,
    config: RunConfig,
    made: Mapping[str, pa.Table],
    facts: Mapping[str, Mapping[str, Any]] | None = None,
    rejected: Mapping[str, Mapping[str, int]] | None = None,
) -> str:
    """Publishes every stage of `config` under `root`, tables from `made` ("mix.instances"). Returns the folder."""
    marks: dict[str, str] = {}
    for stage in stages(config):
        sections = {name: getattr(config, name) for name in stage.sections}
        sources = {name: address.partition(".") for name, address in stage.reads.items()}
        reads = {name: f"{marks[source]}.{output}" for name, (source, _, output) in sources.items()}
        mark = marks[stage.name] = fingerprint.of_stage(stage.name, stage.version, sections, reads)
        folder = manifest.output_folder(str(root), stage.name, mark)
        if manifest.load(str(root), stage.name, mark):
            continue
        parts = {}
        for table in stage.writes:
            rows = made.get(f"{stage.name}.{table}")
            parts[table] = [] if rows is None else tables.write(rows, folder, table, lambda line: None)
        count = sum(part.rows for written in parts.values() for part in written)
        record = manifest.Manifest(
            stage=stage.name,
            fingerprint=mark,
            tables=parts,
            folders={name: [] for name in stage.folders},
            rows_in=count,
            rows_out=count,
            rejected=dict((rejected or {}).get(stage.name, {})),
            seconds=1.5,
            facts=dict((facts or {}).get(stage.name, {})),
            settings={name: section.model_dump(mode="json") for name, section in sections.items()},
            versions=MADE,
            finished="2026-11-20T10:00:00+00:00",
        )
        assert manifest.publish(str(root), record)
    folder = runs.folder(str(root), config.name)
    run = {"name": config.name, "stages": marks, "config": config.model_dump(mode="json")}
    files.put(files.join(folder, "run.json"), json.dumps(run).encode())
    return folder
