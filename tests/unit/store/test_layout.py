"""Names of what is stored: what is made to be written is known again as what it is."""

import pytest

from syneg.pipeline.stages import ONE_ROUND, SCORE, SCORE_BM25
from syneg.stage import Stage
from syneg.store import layout

STAGES = (*ONE_ROUND, SCORE, SCORE_BM25)
MARK = "0123456789abcdef"


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_the_kind_of_a_stage_is_its_name_without_the_round(stage: Stage) -> None:
    assert layout.kind(stage.name) == stage.name
    assert layout.kind(layout.of_round(stage.name, 12)) == stage.name


def test_a_number_that_is_no_round_belongs_to_the_name() -> None:
    assert layout.kind("score_bm25") == "score_bm25"
    assert layout.kind("score_bm25_1") == "score_bm25"
    assert layout.in_output(f"score_bm25/{MARK}/manifest.json") == (f"score_bm25/{MARK}", "score_bm25", "manifest.json")


def test_gc_knows_what_a_stage_writes() -> None:
    train = next(stage for stage in ONE_ROUND if stage.name == "train")
    own = layout.written_by(train)
    for inside in (
        layout.MANIFEST,
        f"{layout.ATTEMPT}/step-1/whole.json",
        f"metrics/{layout.part(4 * MARK)}",
        f"{layout.new_place('model')}/config.json",
        "model/config.json",  # as versions before wrote it
    ):
        assert own.fullmatch(inside), inside
        output = f"{layout.of_round('train', 1)}/{MARK}"
        assert layout.in_output(f"{output}/{inside}") == (output, "train", inside)
    for inside in (f"candidates/{layout.part(4 * MARK)}", "metrics/part-1.parquet", "notes.txt", "model"):
        assert not own.fullmatch(inside), inside


def test_records_are_known_by_their_paths() -> None:
    earlier = layout.earlier_record(MARK)
    assert layout.is_earlier_record(earlier)
    assert not layout.is_earlier_record(layout.RECORD)
    assert layout.is_record(f"runs/demo/{earlier}")
    assert layout.is_record(f"runs/demo/{layout.RECORD}")
    assert layout.is_record(f"evaluations/demo/{layout.EVALUATION}")
    assert not layout.is_record(f"demo/{layout.RECORD}")
    assert layout.is_progress(f"runs/demo/{layout.PROGRESS}")
