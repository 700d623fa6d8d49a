"""What `syneg verify` reads of one stage: every untruth is found, over outputs of small stages."""

import pyarrow as pa
import pytest

from syneg import schemas
from syneg.config.run import RunConfig
from syneg.errors import StoreError
from syneg.store import audit, files, manifest, parts
from syneg.store.manifest import Part
from tests.unit.pipeline.test_pipeline import config, run  # noqa: F401


def test_what_is_whole_is_found_true(config: RunConfig) -> None:  # noqa: F811
    finished = run(config)
    made = audit.check(config.store.root, finished.manifests["make"])
    assert (made.parts, made.rows) == (2, 2)


@pytest.mark.parametrize("untruth", ["part", "model", "rows", "checksum", "keys", "ledger", "schema"])
def test_every_untruth_is_found(config: RunConfig, untruth: str) -> None:  # noqa: F811
    root = config.store.root
    made = run(config, last="make").manifests["make"]
    folder = manifest.output_folder(root, "make", made.fingerprint)
    (part,) = made.tables["queries"]
    if untruth == "part":
        files.put(f"{folder}/queries/{part.name}", b"")
    elif untruth == "model":
        files.put(files.join(manifest.place(root, made, "model"), "config.json"), b"[]")
    elif untruth == "ledger":
        made = made.model_copy(update={"rows_in": 3})
    else:
        made = made.model_copy(update={"tables": {"queries": lies(folder, part, untruth)}})
    with pytest.raises(StoreError):
        audit.check(root, made)


def lies(folder: str, part: Part, untruth: str) -> list[Part]:
    if untruth == "rows":
        return [part.model_copy(update={"rows": 7})]
    if untruth == "keys":
        again = parts.put(pa.table([["q1"], ["other"], ["dev"]], schema=schemas.QUERIES), folder, "queries")
        return [part, again]
    other = pa.table([["q", "r"], ["p", "p"], pa.array([1, 1], pa.int32())], schema=schemas.QRELS)
    if untruth == "checksum":
        return [part.model_copy(update={"sha256": part.sha256[::-1]})]
    wrong = parts.put(other, folder, "qrels")
    files.put(f"{folder}/queries/{wrong.name}", files.read(f"{folder}/qrels/{wrong.name}"))
    return [wrong]
