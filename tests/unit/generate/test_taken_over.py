"""Answers that stand in another output are taken over instead of asked for again."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from syneg import schemas
from syneg.generate import stage
from syneg.keyset import KeySet
from syneg.settings.generate import GenerateConfig, RecordedEngine
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs
from tests.memory import MemoryTable

QUERIES = pa.table([["q0", "q1"], ["zero", "one"], ["train", "train"]], schema=schemas.QUERIES)
PASSAGES = pa.table([["p0", "p1"], ["", ""], ["text zero", "text one"]], schema=schemas.PASSAGES)
QRELS = pa.table([["q0", "q1"], ["p0", "p1"], pa.array([1, 1], pa.int32())], schema=schemas.QRELS)
INPUTS = Inputs({"queries": MemoryTable(QUERIES), "passages": MemoryTable(PASSAGES), "qrels": MemoryTable(QRELS)})


class Holds:
    """Another output that holds every answer."""

    def __contains__(self, key: str) -> bool:
        return True

    def rows(self, keys: Sequence[str]) -> Iterator[pa.Table]:
        for key in keys:
            tokens = pa.array([10], pa.int32())
            yield pa.table({"negative_id": [key], "input_tokens": tokens, "output_tokens": tokens})


def test_nothing_is_asked_and_what_that_saved_is_told(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text("")
    config = GenerateConfig(engine=RecordedEngine(kind="recorded", path=str(tmp_path / "answers.jsonl")))
    context = Context(ResourcesConfig(), tmp_path, earlier={"answers": Holds()})
    output = stage.run(INPUTS, context, generate=config)
    blocks: list[pa.Table] = list(output.tables["answers"])  # type: ignore[arg-type]
    ids = [block["negative_id"][0].as_py() for block in blocks]
    assert output.rows_in == len(set(ids)) == 2
    assert output.facts()["taken_over"] == {"rows": 2, "input_tokens": 20, "output_tokens": 20}
    # What this output holds already is neither asked for nor taken.
    resumed = Context(ResourcesConfig(), tmp_path, done={"answers": KeySet.of(ids[:1])}, earlier={"answers": Holds()})
    again = stage.run(INPUTS, resumed, generate=config)
    assert [block["negative_id"][0].as_py() for block in again.tables["answers"]] == ids[1:]  # type: ignore[index]
    assert again.rows_in == 2
