"""Which weights are kept, by scores that are given."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe
from syneg.errors import StageFailed
from syneg.settings.train import DevConfig
from syneg.train.peers import Peers
from syneg.train.selection import Selection
from tests.tiny_bert import tiny_bert

torch.set_num_threads(1)
STAYED = ["no look was better than the start: the weights are those that training began with"]


class _Dev:
    """A dev split that gives these scores, one after the other."""

    queries = passages = ()

    def __init__(self, *scores: float) -> None:
        self._scores: Iterator[float] = iter(scores)

    def ndcg(self, encoder: Encoder, peers: Peers) -> float:
        return next(self._scores)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("tiny"))


def _load(folder: Path) -> Encoder:
    return Encoder.load(folder, Recipe("", "", 16, 32), device="cpu")


def _bias(encoder: Encoder) -> torch.nn.Parameter:
    """A weight that begins at 0; the tests write into it which step it is."""
    return dict(encoder.named_parameters())["model.0.model.encoder.layer.0.output.dense.bias"]


def _selected(folder: Path, *scores: float, **settings: Any) -> tuple[Selection, float]:
    """What was selected, and what `_bias` is then; the first score is that of the start, those of mixtures the last."""
    dev: Any = _Dev(*scores)
    encoder, selection = _load(folder), Selection(dev, DevConfig(every=1, **settings), Peers())
    selection.begin(encoder)
    for step in range(1, len(scores) - len(settings.get("merge_weights", ())) or 1):
        if selection.exhausted:
            break
        _bias(encoder).data.fill_(step)
        selection.look(encoder, step)
    selection.finish(encoder, lambda: _load(folder), adapters=False)
    return selection, _bias(encoder).unique().item()


@pytest.mark.parametrize(
    ("scores", "kept"), [((0.5, 0.4, 0.3), 0), ((0.5, 0.5, 0.5), 0), ((0.5, 0.6, 0.4), 1), ((0.5, 0.4, 0.6, 0.6), 2)]
)
def test_the_start_is_the_first_candidate(folder: Path, scores: tuple[float, ...], kept: int) -> None:
    selection, found = _selected(folder, *scores)
    facts = selection.facts()["dev"]
    assert found == kept == facts["best_step"]
    assert facts["base"] == scores[0]
    assert facts["best"] == facts["chosen"] == max(scores)
    assert selection.warnings == ([] if kept else STAYED)


def test_patience_counts_from_the_start(folder: Path) -> None:
    selection, _ = _selected(folder, 0.5, 0.4, 0.4, 0.9, patience=2)
    assert selection.exhausted
    assert selection.progress.best_step == 0


def test_a_little_of_what_hurts_may_help(folder: Path) -> None:
    """The last weights are mixed with the start where no look was better; the best ones otherwise."""
    selection, found = _selected(folder, 0.5, 0.4, 0.3, 0.3, 0.6, merge_weights=(0.0, 0.25))
    assert found == 2 * 0.25
    assert selection.facts()["dev"]["merge_scores"] == {"0": 0.5, "1": 0.3, "0.25": 0.6}
    assert selection.facts()["dev"]["chosen"] == 0.6
    assert selection.warnings == []
    selection, found = _selected(folder, 0.5, 0.4, 0.3, 0.3, 0.4, merge_weights=(0.0, 0.25))
    assert found == 0
    assert selection.facts()["dev"]["chosen"] == 0.5
    assert selection.warnings == STAYED
    selection, found = _selected(folder, 0.5, 0.7, 0.3, 0.7, 0.6, merge_weights=(0.0, 0.25))
    assert found == 1
    assert selection.facts()["dev"]["merge_weight"] == 1.0


def test_vectors_that_are_no_numbers_end_it(folder: Path) -> None:
    with pytest.raises(StageFailed, match="After step 2 the vectors of the dev split are not finite"):
        _selected(folder, 0.5, 0.6, math.nan)
    with pytest.raises(StageFailed, match="Before the first step the vectors"):
        _selected(folder, math.nan)
