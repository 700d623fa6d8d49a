"""The step's gradients against those of the plain loss over the whole batch, written down by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe
from syneg.errors import StageFailed
from syneg.settings.train import TrainConfig
from syneg.train.batches import Instances, known_positives
from syneg.train.gradient_cache import PlainTrainee, backward_cached
from syneg.train.step import Place, Step
from tests.tiny_bert import tiny_bert
from tests.unit.train.instances import instance_table

RECIPE = Recipe("query ", "", 16, 32)
TABLE = instance_table(10)
ROWS = np.array([7, 2, 0, 9, 4, 1, 8])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("tiny"))


def _encoder(folder: Path) -> Encoder:
    return Encoder.load(folder, RECIPE, device="cpu").train()


def _gradients(encoder: Encoder) -> dict[str, torch.Tensor]:
    return {name: weight.grad.clone() for name, weight in encoder.named_parameters() if weight.grad is not None}


def _step(encoder: Encoder, train: TrainConfig) -> Step:
    return Step(encoder, PlainTrainee(encoder), Instances(TABLE), train, Place(), known_positives(TABLE))


def _expected(encoder: Encoder, in_batch: bool, temperature: float) -> dict[str, torch.Tensor]:
    """A loop over queries, one text encoded at a time."""
    rows = [TABLE.slice(int(row), 1).to_pylist()[0] for row in ROWS]
    pool = [text for row in rows for text in (row["positive"], *(negative["text"] for negative in row["negatives"]))]
    losses = []
    for row in rows:
        others = [negative["text"] for negative in row["negatives"]]
        if in_batch:
            others = [text for text in pool if text != row["positive"]]
        query_D = encoder(encoder.features([row["query"]], "query"))[0]
        logits = [
            query_D @ encoder(encoder.features([text], "passage"))[0] / temperature
            for text in [row["positive"], *others]
        ]
        losses.append(-torch.stack(logits).log_softmax(dim=0)[0])
    torch.stack(losses).mean().backward()
    return _gradients(encoder)


@pytest.mark.parametrize("chunk_size", [1, 3, 8, 1000])
@pytest.mark.parametrize("in_batch", [False, True])
def test_gradients_are_those_of_the_plain_loss(folder: Path, chunk_size: int, in_batch: bool) -> None:
    config = TrainConfig(
        chunk_size=chunk_size, in_batch_negatives=in_batch, temperature=0.1, query_max_length=16, passage_max_length=32
    )
    expected = _expected(_encoder(folder).eval(), in_batch, config.temperature)
    encoder = _encoder(folder).eval()  # without dropout, which depends on how texts are put together
    scored = _step(encoder, config).backward(ROWS)
    found = _gradients(encoder)

    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(
            found[name], expected[name], rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )
    assert sum(len(part.losses_Q) for part in scored) == len(ROWS)
    seen = [instance["query_id"] for part in scored for instance in part.batch.instances]
    assert seen == [f"q{row}" for row in ROWS]


@pytest.mark.parametrize("chunk_size", [1, 3, 8, 1000])
def test_dropout_is_replayed(folder: Path, chunk_size: int) -> None:
    """With dropout on, the cached gradients are those of one graph over the very same chunks."""
    texts = [f"text {row} of some length" for row in range(9)]
    target_TD = torch.randn(len(texts), 32, generator=torch.Generator().manual_seed(0))

    def loss(vectors_TD: torch.Tensor) -> torch.Tensor:
        return (vectors_TD @ target_TD.T).softmax(dim=1).diagonal().log().sum()

    starts = range(0, len(texts), chunk_size)
    one_graph, cached = _encoder(folder), _encoder(folder)
    chunks = [cached.features(texts[start : start + chunk_size], "passage") for start in starts]
    torch.manual_seed(5)
    loss(torch.cat([one_graph(chunk) for chunk in chunks])).backward()
    drawn_after = torch.rand(3)
    torch.manual_seed(5)
    backward_cached(PlainTrainee(cached), chunks, loss, calls=len(chunks) + 2)

    torch.testing.assert_close(torch.rand(3), drawn_after)  # the next step draws as if nothing was replayed
    expected = _gradients(one_graph)
    for name, gradient in _gradients(cached).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5)


def test_scores_are_those_of_the_own_passages(folder: Path) -> None:
    for in_batch in (False, True):
        encoder = _encoder(folder).eval()
        train = TrainConfig(in_batch_negatives=in_batch, chunk_size=4, query_max_length=16, passage_max_length=32)
        for part in _step(encoder, train).backward(ROWS):
            queries_QD = encoder.encode(part.batch.queries, "query")
            passages_PD = encoder.encode(part.batch.passages, "passage")
            for row, candidates in enumerate(part.batch.candidates_QK.tolist()):
                for place, passage in enumerate(candidates):
                    if passage >= 0:
                        score = float(queries_QD[row] @ passages_PD[passage])
                        assert math.isclose(part.scores_QK[row, place], score, abs_tol=1e-5)


def test_a_loss_that_is_not_finite_names_its_instances(folder: Path) -> None:
    encoder = _encoder(folder)
    with torch.no_grad():
        next(encoder.parameters()).fill_(torch.nan)
    with pytest.raises(StageFailed, match=r"not a finite number for 2 of 2 instances.*\(q7, p7\), \(q2, p2\)"):
        _step(encoder, TrainConfig(in_batch_negatives=True, query_max_length=16, passage_max_length=32)).backward(
            ROWS[:2]
        )


def test_fewer_instances_than_workers_are_refused(folder: Path) -> None:
    encoder = _encoder(folder)
    step = Step(encoder, PlainTrainee(encoder), Instances(TABLE), TrainConfig(), Place(0, 3), {})
    with pytest.raises(StageFailed, match="2 instances for 3 workers"):
        step.backward(ROWS[:2])


def test_instances_without_negatives_train_on_the_batch(folder: Path) -> None:
    table = instance_table(6, negatives=(0,))
    encoder = _encoder(folder)
    train = TrainConfig(in_batch_negatives=True, chunk_size=4, temperature=0.1)
    step = Step(encoder, PlainTrainee(encoder), Instances(table), train, Place(), known_positives(table))
    (scored,) = step.backward(np.arange(6))
    assert scored.scores_QK.shape == (6, 1)
    assert bool((scored.losses_Q > 0).all())
