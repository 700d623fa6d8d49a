"""ADORE: every step's search against one from scratch, and what may never become a negative."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from syneg import schemas
from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe
from syneg.errors import StageFailed
from syneg.mine import stage as mining
from syneg.on_ray.workers import InProcess
from syneg.settings.adore import AdoreConfig
from syneg.settings.encoder import EncoderConfig
from syneg.settings.mine import Bm25Config, MineConfig
from syneg.settings.resources import ResourcesConfig
from syneg.stage import Context, Inputs
from syneg.texts import passage_text
from syneg.train import frozen, query_side
from syneg.train.frozen import FrozenPassages
from syneg.train.loss import lambda_mrr
from syneg.train.query_side import QuerySide, TrainingQueries
from syneg.vectors import pack, unpack
from tests.memory import MemoryTable, rows_of
from tests.tiny_bert import tiny_bert

torch.set_num_threads(1)
RECIPE = Recipe("", "", 32, 32)
PASSAGES, QUERIES = 120, 24
SETTINGS = AdoreConfig(top_k=7, epochs=6, batch_size=8, learning_rate=5e-4, warmup_ratio=0.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert(tmp_path_factory.mktemp("tiny"), dropout=0.0)


@pytest.fixture(scope="module")
def inputs(model: Path) -> Inputs:
    """Passages in no order; of query q (an odd number of words of its own) the passages are p(q) and, of the same
    text spaced otherwise, p(q + 50); every third query has a second positive."""
    random = np.random.default_rng(0)
    words = ["".join(random.choice(list("abcdefghij"), 4)) for _ in range(60)]
    texts = [" ".join(random.choice(words, 5)) for _ in range(PASSAGES)]
    for query in range(QUERIES):
        texts[query + 50] = texts[query].replace(" ", "  ").upper()
    order = random.permutation(PASSAGES)
    ids = [f"p{row:03d}" for row in order]
    passages = pa.table([ids, [""] * PASSAGES, [texts[row] for row in order]], schema=schemas.PASSAGES)
    asked = [" ".join(texts[query].split()[:2]) for query in range(QUERIES)] + ["a test query"]
    splits = ["train"] * QUERIES + ["test"]
    queries = pa.table([[f"q{row:02d}" for row in range(QUERIES + 1)], asked, splits], schema=schemas.QUERIES)
    judged = [(f"q{query:02d}", f"p{query:03d}", 1) for query in range(QUERIES)]
    judged += [(f"q{query:02d}", f"p{query + 80:03d}", 1) for query in range(0, QUERIES, 3)]
    judged += [(f"q{query:02d}", f"p{query + 90:03d}", 0) for query in range(QUERIES)]  # not relevant
    qrels = pa.table(list(map(list, zip(*judged, strict=True))), schema=schemas.QRELS)
    encoder = Encoder.load(model, RECIPE, "cpu")
    bodies = [passage_text("", text) for text in passages["text"].to_pylist()]
    vectors = pa.table([ids, pack(encoder.encode(bodies, "passage"))], schema=schemas.vectors(32))
    mirrored = vectors.take(pa.array(range(PASSAGES - 1, -1, -1)))  # in another order than the passages
    base = pa.table([queries["query_id"], pack(encoder.encode(asked, "query"))], schema=schemas.vectors(32))
    tables = {"passages": passages, "queries": queries, "qrels": qrels, "passage_vectors": mirrored}
    return Inputs({name: MemoryTable(table) for name, table in (tables | {"query_vectors": base}).items()})


def side(inputs: Inputs, model: Path, folder: Path, settings: AdoreConfig = SETTINGS) -> QuerySide:
    tables = inputs.tables
    passages = FrozenPassages.read(tables["passages"], tables["passage_vectors"], folder)
    queries = TrainingQueries.read(tables, passages)
    return QuerySide(Encoder.load(model, RECIPE, "cpu"), passages, queries, settings)


def stored(inputs: Inputs) -> dict[str, np.ndarray]:
    table = inputs.tables["passage_vectors"].table()
    return dict(zip(table["id"].to_pylist(), unpack(table["vector"]).astype(np.float32), strict=True))


def answers(inputs: Inputs) -> dict[str, set[str]]:
    """By query the passages that answer it, written out."""
    texts = {row["passage_id"]: row["text"] for row in inputs.tables["passages"].table().to_pylist()}
    found: dict[str, set[str]] = {}
    for row in inputs.tables["qrels"].table().to_pylist():
        if row["relevance"] > 0:
            positive = " ".join(texts[row["passage_id"]].lower().split())
            same = {name for name, text in texts.items() if " ".join(text.lower().split()) == positive}
            found.setdefault(row["query_id"], set()).update(same)
    return found


def test_every_step_s_top_k_is_that_of_a_search_from_scratch(
    inputs: Inputs, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen, "_BLOCK_ROWS", 50)
    learner = side(inputs, model, tmp_path)
    vectors, never = stored(inputs), answers(inputs)
    names = sorted(vectors)
    matrix_PD = np.stack([vectors[name] for name in names]).astype(np.float64)
    seen, changed = 0, set()
    for step in learner.train():
        scores_BP = step.vectors_BD.astype(np.float64) @ matrix_PD.T
        for query, scores, found in zip(step.queries, scores_BP, step.negatives_BK, strict=True):
            allowed = [row for row, name in enumerate(names) if name not in never[f"q{query:02d}"]]
            expected = sorted(allowed, key=lambda row: -scores[row])[:7]
            assert found.tolist() == expected
            changed.add((int(query), tuple(expected)))
            seen += 1
    assert seen == 6 * QUERIES
    assert len(changed) > QUERIES  # the negatives did move with the encoder


def test_a_positive_or_a_text_like_it_is_never_a_negative(inputs: Inputs, model: Path, tmp_path: Path) -> None:
    learner, never = side(inputs, model, tmp_path, SETTINGS.model_copy(update={"top_k": PASSAGES})), answers(inputs)
    ids = learner.passages.ids.to_pylist()
    assert ids == sorted(ids)
    for step in learner.train():
        for query, found in zip(step.queries, step.negatives_BK, strict=True):
            kept = {ids[row] for row in found if row >= 0}
            assert kept == set(ids) - never[f"q{query:02d}"]  # the corpus is smaller than k: all that is left
        break


def test_a_query_that_is_a_passage_is_no_negative_of_itself(inputs: Inputs, model: Path, tmp_path: Path) -> None:
    passages = inputs.tables["passages"].table().to_pylist()
    asked = inputs.tables["queries"].table()["text"][5].as_py()
    by_text, by_id = (next(row for row in passages if row["passage_id"] == name) for name in ("p100", "p101"))
    by_text["text"], by_id["passage_id"] = asked.upper(), "q05"
    vectors = inputs.tables["passage_vectors"].table()
    ids = pa.array(["q05" if name == "p101" else name for name in vectors["id"].to_pylist()], pa.string())
    changed = {
        "passages": MemoryTable(pa.Table.from_pylist(passages, schema=schemas.PASSAGES)),
        "passage_vectors": MemoryTable(vectors.set_column(0, vectors.field(0), ids)),
    }
    learner = side(Inputs({**inputs.tables, **changed}), model, tmp_path)
    names = learner.passages.ids.to_pylist()
    assert {"p100", "q05"} <= {names[row] for row in learner.queries.answers[5]}
    assert not {"p100", "q05"} & {names[row] for row in learner.queries.answers[6]}
    assert {names[row] for row in learner.queries.positives[5]} == {"p005"}


def test_what_answers_a_query_answers_it_under_every_id(inputs: Inputs, model: Path, tmp_path: Path) -> None:
    queries = inputs.tables["queries"].table()
    asked = queries["text"].to_pylist()
    asked[7] = f"  {asked[4].upper()} "
    twins = {"queries": MemoryTable(queries.set_column(1, queries.field(1), pa.array(asked, pa.string())))}
    learner = side(Inputs({**inputs.tables, **twins}), model, tmp_path)
    names = learner.passages.ids.to_pylist()
    for query in (4, 7):
        assert {"p004", "p007"} <= {names[row] for row in learner.queries.answers[query]}
    assert "p004" not in {names[row] for row in learner.queries.answers[5]}
    assert {names[row] for row in learner.queries.positives[4]} == {"p004"}


def test_the_passages_stay_and_the_queries_learn(inputs: Inputs, model: Path, tmp_path: Path) -> None:
    learner = side(inputs, model, tmp_path)
    before, weights = learner.passages.vectors_PD.copy(), [each.clone() for each in learner.encoder.parameters()]
    steps = list(learner.train())
    assert (learner.passages.vectors_PD == before).all()
    with pytest.raises(ValueError, match="read-only"):
        learner.passages.vectors_PD[0] = 0
    assert any(not torch.equal(one, other) for one, other in zip(weights, learner.encoder.parameters(), strict=True))
    ranks = [step.reciprocal_rank for step in steps]
    assert np.mean(ranks[-3:]) > 1.2 * np.mean(ranks[:3])  # by a third in this toy


def trained(
    inputs: Inputs, model: Path, folder: Path, lines: list[str] | None = None
) -> tuple[pa.Table, str, dict[str, Any]]:
    encoder = EncoderConfig(model=str(model), query_max_length=32, passage_max_length=32)
    tell = (lines if lines is not None else []).append
    return query_side.train(inputs.tables, str(model), str(folder), encoder, SETTINGS, tell)


def test_the_same_seed_gives_the_same_vectors_and_they_are_mined_with(
    inputs: Inputs, model: Path, tmp_path: Path
) -> None:
    lines: list[str] = []
    vectors, address, facts = trained(inputs, model, tmp_path / "one", lines)
    assert vectors.equals(trained(inputs, model, tmp_path / "two")[0])
    assert lines[-1].startswith("step 18/18  loss ")
    assert len(facts["loss"]["steps"]) == 18
    assert facts["mrr_at_10"]["last"] > facts["mrr_at_10"]["first"]
    assert 0 <= facts["positive_in_top_k"]["first"] <= 1

    saved = Encoder.load(address, RECIPE, "cpu")
    asked = inputs.tables["queries"].table()
    assert vectors["id"].to_pylist() == asked["query_id"].to_pylist()  # of every split
    expected_QD = saved.encode(asked["text"].to_pylist(), "query")
    assert np.abs(unpack(vectors["vector"]).astype(np.float32) - expected_QD).max() < 1e-3

    tables = Inputs({**inputs.tables, "adore_query_vectors": MemoryTable(vectors)})
    mine = MineConfig.model_validate({"samplers": {"adore": {"window_end": 20}, "dense": {"window_end": 20}}})
    context = Context(ResourcesConfig(), tmp_path, workers=InProcess())
    rows = rows_of(mining.run(tables, context, bm25=Bm25Config(), mine=mine), "candidates").to_pylist()
    learnt = dict(zip(vectors["id"].to_pylist(), unpack(vectors["vector"]).astype(np.float32), strict=True))
    passages, never = stored(inputs), answers(inputs)
    own = [row for row in rows if row["sampler"] == "adore"]
    assert len(own) == 20 * QUERIES
    for row in own:
        assert row["score"] == pytest.approx(float(learnt[row["query_id"]] @ passages[row["passage_id"]]), abs=1e-5)
        assert (row["reject_reason"] in ("positive", "same_text_as_positive")) == (
            row["passage_id"] in never[row["query_id"]]
        )
    assert {(row["query_id"], row["passage_id"]) for row in own} != {
        (row["query_id"], row["passage_id"]) for row in rows if row["sampler"] == "dense"
    }


def test_vectors_that_are_no_numbers_end_it(inputs: Inputs, model: Path, tmp_path: Path) -> None:
    learner = side(inputs, model, tmp_path)
    with torch.no_grad():
        next(learner.encoder.parameters()).fill_(torch.nan)
    with pytest.raises(StageFailed, match=r"step 1 of 18: the encoder's vectors are not finite"):
        next(learner.train())


def test_the_loss_is_the_mean_over_pairs_of_what_a_swap_would_change() -> None:
    positives, negatives = torch.tensor([[0.5, -9.0]]), torch.tensor([[0.9, 0.4, 0.1]], requires_grad=True)
    known, found = torch.tensor([[True, False]]), torch.tensor([[True, True, False]])
    loss = lambda_mrr(positives, negatives, known, found, cut=2, temperature=0.1)
    # Ranks: 0.9 first, the positive second, 0.4 third and beyond the cut.
    expected = (abs(1 / 2 - 1) * np.log1p(np.exp(4.0)) + abs(1 / 2 - 0) * np.log1p(np.exp(-1.0))) / 2
    assert loss.tolist() == pytest.approx([expected], rel=1e-5)
    loss.sum().backward()
    assert negatives.grad is not None
    assert (negatives.grad[0, :2] > 0).all()  # what stands against the positive is pushed down
    assert negatives.grad[0, 2] == 0
