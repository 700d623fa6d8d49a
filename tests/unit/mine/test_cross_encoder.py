"""The cross-encoder as mining's last filter, against a plain loop over transformers."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from syneg import schemas
from syneg.encoder import cross_encoder
from syneg.mine import stage
from syneg.pipeline import fingerprint
from syneg.settings.mine import MineConfig
from syneg.stage import Inputs
from tests.memory import rows_of
from tests.tiny_bert import tiny_cross_encoder
from tests.unit.mine.answers import answers
from tests.unit.mine.test_stage import Several, many, output_of

SAMPLERS: dict[str, Any] = {"bm25": {"window_end": 8}, "dense": {"window_end": 8}, "random": {"window_end": 4}}
Pair = tuple[str, str]  # query_id, passage_id


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_cross_encoder(tmp_path_factory.mktemp("cross"))


def two_positives() -> Inputs:
    """`many`, whose first query has another query's positive beside its own."""
    inputs = many(40)
    qrels = inputs.tables["qrels"].table()
    more = pa.table([["q0"], qrels["passage_id"][5:6], pa.array([1], pa.int32())], schema=schemas.QRELS)
    return Inputs({**inputs.tables, "qrels": type(inputs.tables["qrels"])(pa.concat_tables([qrels, more]))})  # type: ignore[call-arg]


def loop(folder: Path, inputs: Inputs, pairs: set[Pair]) -> dict[Pair, float]:
    """One pair at a time; of two labels the second minus the first."""
    tokenizer, model = (kind.from_pretrained(folder) for kind in (AutoTokenizer, AutoModelForSequenceClassification))
    texts = {name: dict(zip(*columns, strict=True)) for name, columns in _columns(inputs).items()}
    found = {}
    for query, passage in pairs:
        own = tokenizer(
            texts["queries"][query], texts["passages"][passage], truncation=True, max_length=32, return_tensors="pt"
        )
        with torch.inference_mode():
            logits = model.eval()(**own).logits[0].tolist()
        found[query, passage] = logits[0] if len(logits) == 1 else logits[1] - logits[0]
    return found


def _columns(inputs: Inputs) -> dict[str, list[list[str]]]:
    names = {"queries": ("query_id", "text"), "passages": ("passage_id", "text")}
    return {name: [inputs.tables[name].table()[column].to_pylist() for column in own] for name, own in names.items()}


def key(row: dict[str, Any]) -> Pair:
    return row["query_id"], row["passage_id"]


@pytest.mark.parametrize("labels", [1, 2])
@pytest.mark.parametrize("limits", [{"absolute_margin": 0.3}, {"relative_margin": 0.2}, {"max_score": "median"}, {}])
def test_rejects_what_the_slow_loop_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels: int, limits: dict[str, Any]
) -> None:
    model, inputs = tiny_cross_encoder(tmp_path / "model", labels), two_positives()
    monkeypatch.setattr(cross_encoder, "_PAIRS_AT_ONCE", 50)
    before = rows_of(output_of(inputs, tmp_path, samplers=SAMPLERS), "candidates").to_pylist()
    judged = answers(inputs)
    scores = loop(model, inputs, {key(row) for row in before} | judged)
    if "max_score" in limits:
        limits = {"max_score": float(np.median(list(scores.values())))}
    settings = {"model": str(model), "max_length": 32, **limits}
    output = output_of(inputs, tmp_path, samplers=SAMPLERS, cross_encoder=settings)
    rows, positives = (rows_of(output, name) for name in ("candidates", "positives"))
    assert callable(output.rows_in)
    assert output.rows_in() == rows.num_rows + positives.num_rows
    schemas.conform(positives, schemas.POSITIVES)
    assert {key(row): row["cross_score"] for row in positives.to_pylist()} == pytest.approx(
        {pair: scores[pair] for pair in judged}, abs=1e-4
    )
    rejected = 0
    for old, new in zip(before, rows.to_pylist(), strict=True):
        lowest = min(scores[pair] for pair in judged if pair[0] == new["query_id"])
        score, beyond = scores[key(new)], []
        beyond += [score - (lowest - limits["absolute_margin"])] if "absolute_margin" in limits else []
        beyond += [score - (lowest - abs(lowest) * limits["relative_margin"])] if "relative_margin" in limits else []
        beyond += [score - limits["max_score"]] if "max_score" in limits else []
        if old["reject_reason"]:
            assert new == old
            continue
        assert (new["cross_score"], new["cross_positive_score"]) == pytest.approx((score, lowest), abs=1e-4)
        if all(abs(excess) > 1e-4 for excess in beyond):
            assert new["reject_reason"] == ("cross_encoder" if any(excess > 0 for excess in beyond) else None)
        rejected += new["reject_reason"] == "cross_encoder"
    assert bool(rejected) == bool(limits)


def test_three_workers_and_small_slices_give_the_same(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"samplers": SAMPLERS, "least": 6, "on_short": "random"}
    settings["cross_encoder"] = {"model": str(folder), "max_length": 32, "absolute_margin": 0.3}
    one = rows_of(output_of(two_positives(), tmp_path, **settings), "candidates").sort_by(KEYS).to_pylist()
    monkeypatch.setattr(stage, "_SHARD_QUERIES", 7)
    monkeypatch.setattr(stage, "_SLICE_ROWS", 60)
    several = output_of(two_positives(), tmp_path, Several(), **settings)
    rows = rows_of(several, "candidates").sort_by(KEYS).to_pylist()
    assert len(rows) == len(one)
    for left, right in zip(one, rows, strict=True):
        for name in ("cross_score", "cross_positive_score"):  # batches of other sizes round otherwise
            assert left.pop(name) == pytest.approx(right.pop(name), abs=1e-4)
        assert left == right
    outcomes = [facts["outcomes"] for facts in several.facts()["samplers"].values()]
    counted = sum(each.get("cross_encoder", 0) for each in outcomes)
    assert counted == sum(row["reject_reason"] == "cross_encoder" for row in rows) > 0


KEYS = [("query_id", "ascending"), ("sampler", "ascending"), ("rank", "ascending")]


def test_long_texts_and_lone_surrogates_are_scored(folder: Path) -> None:
    model = cross_encoder.CrossEncoder(folder, 16)
    scores = model.scores(["query " * 40, "\ud800", "q"], ["passage", "\udfff " * 50, ""])
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()
    assert model.scores([], []).shape == (0,)


def test_its_weights_are_in_the_fingerprint(tmp_path: Path) -> None:
    def mark(model: Path) -> str:
        mine = MineConfig.model_validate({"cross_encoder": {"model": str(model)}})
        return fingerprint.of_stage("mine", 1, {"mine": mine}, {})

    one, copy, other = (tmp_path / name for name in ("one", "copy", "other"))
    assert mark(tiny_cross_encoder(one)) == mark(tiny_cross_encoder(copy))
    assert mark(tiny_cross_encoder(other, labels=2)) != mark(one)
