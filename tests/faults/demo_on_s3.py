"""The demo on object storage is the demo: `.venv/bin/pytest -s tests/faults/demo_on_s3.py`, after `make demo`.

The disk's answers are put there first, since an LLM that is asked again writes others. All else is made anew.
"""

import subprocess
import sys
from pathlib import Path

from syneg import runs
from syneg.store import files, manifest
from tests.faults.matrix import ROOT, compare


def test_every_table_is_the_disks(s3_url: str, s3_root: str) -> None:
    disk, root = runs.load("demo", str(ROOT / "out")), f"{s3_root}/root"
    answers = disk.manifests["generate"]
    here, there = (manifest.output_folder(of, "generate", answers.fingerprint) for of in (disk.config.store.root, root))
    for name, _ in files.files_below(here):
        files.put(files.join(there, name), files.read(files.join(here, name)))

    command = [Path(sys.executable).parent / "syneg", "run", "configs/demo.yaml"]
    settings = [f"store.root={root}", f"storage.endpoint_url={s3_url}"]
    assert subprocess.run([*command, *settings], cwd=ROOT).returncode == 0
    stored = runs.load("demo", root)
    for stage, made in disk.manifests.items():
        for table in made.tables:
            compare(stage, table, stored.table(stage, table).table(), disk.table(stage, table).table())
            print(f"{stage}.{table}: the same")
