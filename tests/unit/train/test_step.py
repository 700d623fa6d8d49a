"""The step's gradients against those of the plain loss over the whole batch, written down by hand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe
from syneg.settings.train import TrainConfig
from syneg.texts import normalized
from syneg.train.gradient_cache import PlainTrainee, backward_cached
from syneg.train.instances import Instances
from syneg.train.measure import not_finite
from syneg.train.peers import Peers
from syneg.train.step import Scored, Step
from tests.tiny_bert import tiny_bert
from tests.unit.train.instances import instance_table

torch.set_num_threads(1)  # the tensors are tiny: threads would only wait for each other
RECIPE = Recipe("query ", "", 16, 32)
ROWS = np.array([7, 2, 0, 9, 4, 1, 8])
SETTINGS: dict[str, dict[str, Any]] = {
    "own": {},
    "batch": {"in_batch_negatives": True},
    "both": {"in_batch_negatives": True, "both_directions": True},
    "margin": {"in_batch_negatives": True, "false_negative_margin": 0.02},
    "matryoshka": {"in_batch_negatives": True, "matryoshka_dimensions": [8, 16]},
    "own_matryoshka": {"matryoshka_dimensions": [8]},
    "own_distilled": {"distillation": {"weight": 0.7, "temperature": 2.0}},
    "distilled": {"distillation": {"weight": 0.7}, "in_batch_negatives": True, "both_directions": True},
}


def _table() -> pa.Table:
    """Ten instances; queries 7 and 2 are the same, and the positive of 9 is, but for case, that of 4."""
    rows = instance_table(10).to_pylist()
    rows[7]["query"] = rows[2]["query"].upper()
    rows[9]["positive"] = rows[4]["positive"].upper()
    draw = np.random.default_rng(0)
    for row in rows:  # the teacher scores everything but what is synthetic, and not the positive of 8
        row["positive_cross_score"] = None if row is rows[8] else draw.normal(2)
        for negative in row["negatives"]:
            negative["cross_score"] = None if negative["source"] == "synthetic" else draw.normal()
    return pa.Table.from_pylist(rows, instance_table(1).schema)


TABLE = _table()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("tiny"))


def _encoder(folder: Path) -> Encoder:
    return Encoder.load(folder, RECIPE, device="cpu").train()


def _config(mode: str, **others: Any) -> TrainConfig:
    lengths = {"query_max_length": 16, "passage_max_length": 32, "temperature": 0.1}
    return TrainConfig.model_validate(SETTINGS[mode] | lengths | others)


def _gradients(encoder: Encoder) -> dict[str, Tensor]:
    return {name: weight.grad.clone() for name, weight in encoder.named_parameters() if weight.grad is not None}


def _run(encoder: Encoder, train: TrainConfig, rows: np.ndarray = ROWS, table: pa.Table = TABLE) -> list[Scored]:
    instances = Instances.of(table)
    step = Step(encoder, PlainTrainee(encoder), instances, train, Peers(), instances.known_positives())
    return step.backward(step.prepare(rows))


def _expected(encoder: Encoder, train: TrainConfig) -> dict[str, Tensor]:
    """A loop over queries, one text encoded at a time."""
    rows = [TABLE.slice(int(row), 1).to_pylist()[0] for row in ROWS]
    vectors: dict[tuple[str, str], Tensor] = {}

    def vector(text: str, kind: Any, size: int) -> Tensor:
        if (text, kind) not in vectors:
            vectors[text, kind] = encoder(encoder.features([text], kind))[0]
        return normalize(vectors[text, kind][:size], dim=0)

    def answered(query: str, text: str) -> bool:
        answers = [row["positive"] for row in rows if normalized(row["query"]) == normalized(query)]
        return normalized(text) in map(normalized, answers)

    losses = []
    for size in (*train.matryoshka_dimensions, 32):
        for row in rows:
            own = [row["positive"], *(negative["text"] for negative in row["negatives"])]
            others = []
            if train.in_batch_negatives:
                for other in rows:
                    texts = [other["positive"], *(negative["text"] for negative in other["negatives"])]
                    others += [text for text in texts if other is not row and not answered(row["query"], text)]
            query = vector(row["query"], "query", size)
            limit = query @ vector(row["positive"], "passage", size) + (train.false_negative_margin or math.inf)
            others = [text for text in others if query @ vector(text, "passage", size) <= limit]
            logits = [query @ vector(text, "passage", size) / train.temperature for text in (*own, *others)]
            losses.append(-torch.stack(logits).log_softmax(dim=0)[0])
            if train.both_directions:
                positive = vector(row["positive"], "passage", size)
                asking = [o["query"] for o in rows if o is not row and not answered(o["query"], row["positive"])]
                logits = [positive @ vector(q, "query", size) / train.temperature for q in (row["query"], *asking)]
                losses.append(-torch.stack(logits).log_softmax(dim=0)[0])
    total = torch.stack(losses).mean()
    if train.distillation:
        total = (
            total + train.distillation.weight * torch.stack([_divergence(row, train, vector) for row in rows]).mean()
        )
    total.backward()
    return _gradients(encoder)


def _divergence(row: dict[str, Any], train: TrainConfig, vector: Any) -> Tensor:
    """KL by the definition, over what the teacher scored."""
    own = [(row["positive"], row["positive_cross_score"])]
    own += [(negative["text"], negative["cross_score"]) for negative in row["negatives"]]
    own = [(text, score) for text, score in own if score is not None]
    if row["positive_cross_score"] is None or not train.distillation:
        return torch.zeros(())
    taught = (torch.tensor([score for _, score in own]) / train.distillation.temperature).softmax(dim=0)
    query = vector(row["query"], "query", 32)
    scores = torch.stack([query @ vector(text, "passage", 32) for text, _ in own])
    student = (scores / train.temperature).softmax(dim=0)
    return sum((p * (p / q).log() for p, q in zip(taught, student, strict=True)), torch.zeros(()))


def _assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], size: Any = 1e-5) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(
            found[name], gradient, rtol=1e-4, atol=size, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("mode", SETTINGS)
def test_gradients_are_those_of_the_plain_loss(folder: Path, mode: str) -> None:
    expected = _expected(_encoder(folder).eval(), _config(mode))
    for limits in ({"chunk_size": 1}, {"chunk_size": 3}, {"chunk_size": 8}, {"chunk_size": 1000}, {"chunk_tokens": 40}):
        encoder = _encoder(folder).eval()  # without dropout, which depends on how texts are put together
        scored = _run(encoder, _config(mode, **limits))

        _assert_same(_gradients(encoder), expected)
        assert sum(len(part.contrasted.losses_Q) for part in scored) == len(ROWS)
        seen = [instance["query_id"] for part in scored for instance in part.batch.instances]
        assert seen == [f"q{row}" for row in ROWS]


@pytest.mark.parametrize("kept", [1, 2])
@pytest.mark.parametrize("chunk_size", [1, 3, 8, 1000])
def test_dropout_is_replayed(folder: Path, chunk_size: int, kept: int) -> None:
    """With dropout on, the cached gradients are those of one graph over the very same chunks."""
    texts = [f"text {row} of some length" for row in range(9)]
    target_TD = torch.randn(len(texts), 32, generator=torch.Generator().manual_seed(0))

    def loss(vectors_TD: Tensor) -> Tensor:
        return (vectors_TD @ target_TD.T).softmax(dim=1).diagonal().log().sum()

    def gradients(vectors_TD: Tensor) -> Tensor:
        leaf = vectors_TD.detach().requires_grad_()
        (found,) = torch.autograd.grad(loss(leaf), leaf)
        return found

    starts = range(0, len(texts), chunk_size)
    one_graph, cached = _encoder(folder), _encoder(folder)
    chunks = [cached.features(texts[start : start + chunk_size], "passage") for start in starts]
    torch.manual_seed(5)
    loss(torch.cat([one_graph(chunk) for chunk in chunks])).backward()
    drawn_after = torch.rand(3)
    torch.manual_seed(5)
    backward_cached(PlainTrainee(cached), chunks, min(kept, len(chunks)), gradients, calls=len(chunks) + 2)

    torch.testing.assert_close(torch.rand(3), drawn_after)  # the next step draws as if nothing was replayed
    _assert_same(_gradients(cached), _gradients(one_graph))


@pytest.mark.parametrize("mode", ["own", "batch", "both"])
def test_scores_and_masses_are_those_of_the_own_passages(folder: Path, mode: str) -> None:
    encoder = _encoder(folder).eval()
    for part in _run(encoder, _config(mode, chunk_size=4)):
        queries_QD = encoder.encode(part.batch.queries, "query")
        passages_PD = encoder.encode(part.batch.passages, "passage")
        for row, candidates in enumerate(part.batch.candidates_QK.tolist()):
            own = [passage for passage in candidates if passage >= 0]
            scores = queries_QD[row] @ passages_PD[own].T
            np.testing.assert_allclose(part.contrasted.scores_QK[row, : len(own)], scores, atol=1e-5)
            masses = part.contrasted.masses_QK[row, : len(own)].numpy()
            np.testing.assert_allclose(masses / masses[0], np.exp((scores - scores[0]) / 0.1), rtol=1e-3)
            assert math.isclose(masses.sum(), 1, abs_tol=1e-5) if mode == "own" else masses.sum() < 1


def test_what_took_no_part_in_the_loss_has_no_mass(folder: Path) -> None:
    """Two instances of one query, each with the other's positive as a negative, and one of another query."""
    rows = instance_table(3, negatives=(1,)).to_pylist()
    rows[1]["query"] = rows[0]["query"]
    for row, other in ((rows[0], rows[1]), (rows[1], rows[0])):
        row["negatives"][0]["text"] = other["positive"]
    table = pa.Table.from_pylist(rows, instance_table(1).schema)
    encoder = _encoder(folder).eval()
    (scored,) = _run(encoder, _config("batch"), np.arange(3), table)
    queries_QD = encoder.encode(scored.batch.queries, "query")
    passages_PD = encoder.encode(scored.batch.passages, "passage")
    allowed = [0, 2, 5]  # of the first query: its positive, and the third's passages
    shares = torch.from_numpy(queries_QD[0] @ passages_PD[allowed].T / 0.1).softmax(dim=0)
    assert scored.contrasted.masses_QK[0].tolist() == pytest.approx([float(shares[0]), 0], abs=1e-5)
    assert bool((scored.contrasted.masses_QK[2] > 0).all())


def test_one_negative_and_none(folder: Path) -> None:
    for negatives, is_zero in ((1,), False), ((0,), True):
        encoder, table = _encoder(folder), instance_table(1, negatives=negatives)
        for mode in ("own", "batch"):
            (scored,) = _run(encoder, _config(mode), np.array([0]), table)
            assert (float(scored.contrasted.losses_Q) == 0) == is_zero
        assert all(gradient.isfinite().all() for gradient in _gradients(encoder).values())


def test_instances_without_negatives_train_on_the_batch(folder: Path) -> None:
    table = instance_table(6, negatives=(0,))
    (scored,) = _run(_encoder(folder), _config("batch", chunk_size=4), np.arange(6), table)
    assert scored.contrasted.scores_QK.shape == (6, 1)
    assert bool((scored.contrasted.losses_Q > 0).all())


@pytest.mark.parametrize("mode", ["own", "batch"])
def test_losses_that_are_not_finite_name_their_instances(folder: Path, mode: str) -> None:
    encoder = _encoder(folder)
    with torch.no_grad():
        next(encoder.parameters()).fill_(torch.nan)
    assert not_finite(_run(encoder, _config(mode), np.array([7, 1, 2]))) == ["(q7, p7)", "(q1, p1)", "(q2, p2)"]
