"""nDCG@10 while training against ir-measures over the same ranking."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from syneg import schemas
from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe
from syneg.errors import BadInput
from syneg.evaluate.metrics import per_query
from syneg.settings.train import DevConfig
from syneg.stage import Inputs
from syneg.train import data, dev
from syneg.train.dev import DevSplit
from syneg.train.peers import Peers
from syneg.vectors import pack
from tests.memory import MemoryTable
from tests.tiny_bert import tiny_bert

torch.set_num_threads(1)
PASSAGES = pa.table(
    [
        [f"p{row}" for row in range(30)] + ["q1"],
        ["a title"] * 31,
        [f"text {row * 7919} of a passage" for row in range(30)] + ["what is 8"],
    ],
    schema=schemas.PASSAGES,
)
QUERIES = pa.table([["q0", "q1", "q2"], ["text 7919", "what is 8", "a passage"], ["dev"] * 3], schema=schemas.QUERIES)
QRELS = pa.table(
    [["q0", "q0", "q0", "q1", "q2"], ["p1", "p2", "p20", "p3", "p4"], [2, 1, 1, 1, 1]], schema=schemas.QRELS
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder.load(tiny_bert(tmp_path_factory.mktemp("tiny")), Recipe("", "", 16, 32), device="cpu").train()


def test_it_is_ndcg_over_all_passages_but_the_querys_own(encoder: Encoder, tmp_path: Path) -> None:
    assert dev.write(QUERIES, QRELS, [PASSAGES.slice(0, 10), PASSAGES.slice(10)], tmp_path) == (3, 31)
    split = DevSplit.open(tmp_path)
    found = split.ndcg(encoder, Peers())

    texts = [f"a title {text}" for text in PASSAGES["text"].to_pylist()]
    scores_QP = encoder.encode(QUERIES["text"].to_pylist(), "query") @ encoder.encode(texts, "passage").T
    rows = []
    for query, scores in enumerate(scores_QP):
        ranked = [row for row in np.argsort(-scores, kind="stable") if not (query == 1 and row == 30)]
        for rank, row in enumerate(ranked):
            rows.append((f"q{query}", PASSAGES["passage_id"][int(row)].as_py(), rank, float(scores[row])))
    ranking = pa.table(list(map(list, zip(*rows, strict=True))), schema=schemas.RANKING)
    expected = per_query(ranking, QRELS, ("nDCG@10",))["value"].to_numpy().mean()
    assert found == pytest.approx(expected, abs=1e-6)
    assert 0 < found < 1
    assert encoder.training  # as it was


@pytest.mark.parametrize("broken", ["query", "passage"])
def test_vectors_that_are_no_numbers_score_nothing(
    encoder: Encoder, tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not 0, which is what a ranking without any relevant passage scores."""

    def encode(texts: list[str], kind: str) -> np.ndarray:
        vectors_ND = np.ones((len(texts), 4), np.float32)
        vectors_ND[-1] = np.nan if kind == broken else 1.0
        return vectors_ND

    monkeypatch.setattr(encoder, "encode", encode)
    dev.write(QUERIES, QRELS, [PASSAGES], tmp_path)
    assert np.isnan(DevSplit.open(tmp_path).ndcg(encoder, Peers()))


def test_workers_rank_a_part_each(encoder: Encoder, tmp_path: Path) -> None:
    many = pa.concat_tables([PASSAGES] * 100)
    dev.write(QUERIES, QRELS, [many], tmp_path)
    split = DevSplit.open(tmp_path)
    first_rows = [[first for first, _ in split._own_blocks(Peers(rank, 3))] for rank in range(3)]
    assert sorted(row for rows in first_rows for row in rows) == [0, 1024, 2048, 3072]


def test_a_mined_part_holds_what_is_judged_and_what_the_base_model_ranks_first(tmp_path: Path) -> None:
    """The vectors of passages p0 to p9 are the axes, in order of closeness to the queries."""
    ids = [f"p{row}" for row in range(10)]
    closeness = np.linspace(1, 0.1, 10)
    passages = [np.array([value, np.sqrt(1 - value**2)]) for value in closeness]
    tables = {
        "passages": pa.table([ids, [""] * 10, ids], schema=schemas.PASSAGES),
        "queries": QUERIES.slice(0, 1),
        "qrels": pa.table([["q0", "q0"], ["p8", "p7"], [1, 0]], schema=schemas.QRELS),
        "passage_vectors": _vectors(ids, np.stack(passages)),
        "query_vectors": _vectors(["q0", "q1", "q2"], np.array([[1.0, 0.0]] * 3)),
    }
    given = Inputs({name: MemoryTable(rows) for name, rows in tables.items()})
    data._bring_dev(given, DevConfig(every=1, depth=2), tmp_path)
    split = DevSplit.open(tmp_path)
    assert split.query_ids == ["q0"]
    assert [passage for block in split.passages for passage in block["id"].to_pylist()] == ["p0", "p1", "p7", "p8"]

    unanswered = Inputs({**given.tables, "queries": MemoryTable(schemas.QUERIES.empty_table())})
    with pytest.raises(BadInput, match=r"corpus\.dev_split"):
        data._bring_dev(unanswered, DevConfig(every=1), tmp_path)


def _vectors(ids: list[str], values_ND: np.ndarray) -> pa.Table:
    return pa.table({"id": ids, "vector": pack(values_ND)})
