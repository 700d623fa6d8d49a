"""A run in a store on disk, with tables but without having run anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from syneg import runs
from syneg.config.run import RunConfig
from syneg.pipeline import execution, fingerprint
from syneg.pipeline.graph import stages
from syneg.store import manifest, tables
from syneg.watch import record

MADE = {"syneg": "0.1.0", "ray": "2.60.0", "torch": "2.13.0", "transformers": "5.23.0"}


def write(
    root: Path,
    config: RunConfig,
    made: Mapping[str, pa.Table],
    facts: Mapping[str, Mapping[str, Any]] | None = None,
    rejected: Mapping[str, Mapping[str, int]] | None = None,
    last: str = "report",
) -> str:
    """Publishes the stages of `config` up to `last` under `root`, tables from `made` ("mix.instances"). Returns the
    run's folder."""
    marks: dict[str, str] = {}
    in_order = stages(config)
    for stage in in_order[: 1 + [stage.name for stage in in_order].index(last)]:
        sections = execution.sections(config, stage)
        sources = {name: address.partition(".") for name, address in stage.reads.items()}
        reads = {name: f"{marks[source]}.{output}" for name, (source, _, output) in sources.items()}
        mark = marks[stage.name] = fingerprint.of_stage(stage.name, stage.version, sections, reads)
        folder = manifest.output_folder(str(root), stage.name, mark)
        if manifest.load(str(root), stage.name, mark):
            continue
        parts = {}
        for table in stage.writes:
            rows = made.get(f"{stage.name}.{table}")
            parts[table] = [] if rows is None else tables.write(rows, folder, table)
        count = sum(part.rows for written in parts.values() for part in written)
        done = manifest.Manifest(
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
        assert manifest.publish(str(root), done)
    folder = runs.folder(str(root), config.name)
    record.put(folder, config, marks)
    return folder
