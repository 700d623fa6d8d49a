"""Answers that stand in another output are taken over instead of asked for again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from syneg import schemas
from syneg.generate import engine, stage
from syneg.generate.requests import RequestMaker, requests, training_pairs
from syneg.generate.shown import Shown
from syneg.keyset import KeySet
from syneg.settings.generate import GenerateConfig, RecordedEngine
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs
from tests.memory import MemoryTable, recovered

QUERIES = pa.table([["q0", "q1"], ["zero", "one"], ["train", "train"]], schema=schemas.QUERIES)
PASSAGES = pa.table([["p0", "p1"], ["", ""], ["text zero", "text one"]], schema=schemas.PASSAGES)
QRELS = pa.table([["q0", "q1"], ["p0", "p1"], pa.array([1, 1], pa.int32())], schema=schemas.QRELS)
INPUTS = Inputs({"queries": MemoryTable(QUERIES), "passages": MemoryTable(PASSAGES), "qrels": MemoryTable(QRELS)})


_TOKENS = ("input_tokens", "output_tokens")


@dataclass
class Holds:
    """Other outputs that hold the answers `names`."""

    names: list[str]

    def __call__(self, table: str, facts: Mapping[str, Any]) -> "Holds":
        assert (table, facts) == ("answers", {})
        return self

    @property
    def keys(self) -> KeySet:
        return KeySet.of(self.names)

    def rows(self, wanted: KeySet) -> Iterator[pa.Table]:
        for name in self.names:
            tokens = pa.array([10], pa.int32())
            if name in wanted:
                yield pa.table({"negative_id": [name], "input_tokens": tokens, "output_tokens": tokens})


def asked(config: GenerateConfig) -> list[str]:
    """The ids of all requests."""
    tables = INPUTS.tables
    pairs = training_pairs(QUERIES, QRELS, tables["passages"].blocks, None)
    maker = RequestMaker(config, stage.lists_of(config), "recorded", engine.identity(config.engine))
    blocks = requests(pairs, Shown(tables["passages"]), maker, KeySet())
    return [name for block in blocks for name in block["negative_id"].to_pylist()]


def test_nothing_is_asked_and_what_that_saved_is_told(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text("")
    config = GenerateConfig(engine=RecordedEngine(kind="recorded", path=str(tmp_path / "answers.jsonl")))
    ids = asked(config)
    earlier = Holds([*ids, "another"])
    output = stage.run(INPUTS, Context(ResourcesConfig(), tmp_path, earlier=earlier), generate=config)
    blocks: list[pa.Table] = list(output.tables["answers"])  # type: ignore[arg-type]
    assert [block["negative_id"][0].as_py() for block in blocks] == ids
    assert output.rows_in == len(set(ids)) == 2
    assert output.facts()["taken_over"] == {"rows": 2, "input_tokens": 20, "output_tokens": 20}
    # What this output holds already is neither asked for nor taken; what it had taken before its death was not paid.
    tokens = {name: pa.array([10], pa.int32()) for name in _TOKENS}
    held = pa.table({"negative_id": ids[:1], "finish_reason": ["stop"], **tokens})
    resumed = Context(ResourcesConfig(), tmp_path, recovered=recovered("answers", held), earlier=earlier)
    again = stage.run(INPUTS, resumed, generate=config)
    assert [block["negative_id"][0].as_py() for block in again.tables["answers"]] == ids[1:]  # type: ignore[index]
    assert again.rows_in == 2
    assert again.facts()["taken_over"] == {"rows": 2, "input_tokens": 20, "output_tokens": 20}
