"""Mining through an inverted file: what it finds, what it misses, and that it says so."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from syneg import schemas
from syneg.mine import recall
from syneg.mine.searches import Ranking
from syneg.on_ray.workers import InProcess
from syneg.search import ivf
from syneg.search.dense import top_k
from syneg.settings.mine import IvfConfig
from syneg.stage import Inputs
from syneg.vectors import unpack
from tests.memory import MemoryTable, rows_of
from tests.unit.mine.test_stage import Several, many, output_of, vectors

KEYS = [("query_id", "ascending"), ("sampler", "ascending"), ("rank", "ascending")]
SETTINGS: dict[str, Any] = {"samplers": {"dense": {"window_end": 12, "relative_margin": 0.05}, "simans": {}}}


def mined(folder: Path, workers: InProcess | None = None, **settings: Any) -> tuple[pa.Table, dict[str, Any]]:
    output = output_of(many(300), folder, workers, **SETTINGS, **settings)
    return rows_of(output, "candidates").sort_by(KEYS), dict(output.facts())


def test_as_many_probes_as_lists_find_what_exact_search_finds(tmp_path: Path) -> None:
    rows, facts = mined(tmp_path, index="ivf", ivf={"lists": 9, "probes": 9})
    exact, _ = mined(tmp_path)
    assert rows.equals(exact)
    assert facts["index"]["recall"]["base"] == {"share": 1.0, "at": 100, "queries": 20, "lists": 9, "probes": 9}
    assert facts["index"]["warnings"] == []


@pytest.mark.parametrize("probes", [1, 3])
def test_what_is_missed_is_told_as_brute_force_tells_it(tmp_path: Path, probes: int) -> None:
    rows, facts = mined(tmp_path, index="ivf", ivf={"lists": 9, "probes": probes})
    inputs = many(300)
    queries_QD, passages_PD = (
        unpack(inputs.tables[name].table()["vector"]).astype(np.float64)
        for name in ("query_vectors", "passage_vectors")
    )
    ids = np.array(inputs.tables["passage_vectors"].table()["id"].to_pylist())
    found: dict[str, set[str]] = {}
    for row in rows.to_pylist():
        if row["sampler"] == "simans":  # without a window's start: all that the search gave, in another order
            found.setdefault(row["query_id"], set()).add(row["passage_id"])
    shares = [
        len(set(ids[np.argsort(-(passages_PD @ query))[:100]]) & found[f"q{number}"]) / 100
        for number, query in enumerate(queries_QD)
    ]
    told = facts["index"]["recall"]["base"]
    assert told["share"] == pytest.approx(np.mean(shares), abs=1e-4)
    assert told["share"] < 0.9
    (warning,) = facts["index"]["warnings"]
    assert f"finds {told['share']:.0%} of the 100 passages" in warning
    assert warning.endswith(f"Raise mine.ivf.probes above {probes}: 9, as many as there are lists, find all.")


def test_more_probes_find_more(tmp_path: Path) -> None:
    shares = [
        mined(tmp_path, index="ivf", ivf={"lists": 9, "probes": probes})[1]["index"]["recall"]["base"]["share"]
        for probes in (1, 2, 5, 9)
    ]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_three_workers_lists_hold_what_one_worker_s_hold(tmp_path: Path) -> None:
    settings = {"index": "ivf", "ivf": {"lists": 9, "probes": 2}}
    one, told = mined(tmp_path, **settings)
    several, told_by_three = mined(tmp_path, Several(), **settings)
    assert several.equals(one)
    assert told_by_three == told


def with_copies(shuffled: bool) -> Inputs:
    """Every query's best passages are 200 copies of one, more than is asked for to break ties by, among others."""
    given = many(300)
    tables = {name: given.tables[name].table() for name in ("passage_vectors", "query_vectors")}
    order = np.random.default_rng(5).permutation(300) if shuffled else np.arange(300)
    passages, queries = tables["passage_vectors"].take(pa.array(order)), tables["query_vectors"]
    (copied,) = unpack(tables["passage_vectors"]["vector"])[:1]
    number = np.array([int(name[1:]) for name in passages["id"].to_pylist()])
    passages_PD = np.where((number < 200)[:, None], copied, unpack(passages["vector"]))
    beside_QD = copied + 0.02 * unpack(queries["vector"])
    beside_QD /= np.linalg.norm(beside_QD.astype(np.float32), axis=1, keepdims=True)
    made = {}
    for name, ids, values in (("passage", passages["id"], passages_PD), ("query", queries["id"], beside_QD)):
        packed = [row.astype(np.float16).tobytes() for row in values]
        made[f"{name}_vectors"] = MemoryTable(pa.table([ids, packed], schema=schemas.vectors(8)))
    return Inputs({**given.tables, **made})


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("workers", [InProcess(), Several()])
def test_of_many_copies_those_of_exact_search_are_found(tmp_path: Path, shuffled: bool, workers: InProcess) -> None:
    settings: dict[str, Any] = {"samplers": {"dense": {"window_end": 10}}}
    exact = output_of(with_copies(False), tmp_path, **settings)
    through_lists = {"index": "ivf", "ivf": {"lists": 9, "probes": 9}}
    found = output_of(with_copies(shuffled), tmp_path, workers, **settings, **through_lists)
    assert rows_of(found, "candidates").sort_by(KEYS).equals(rows_of(exact, "candidates").sort_by(KEYS))
    assert found.facts()["index"]["recall"]["base"]["share"] == 1
    assert found.facts()["index"]["warnings"] == []


def test_a_copy_is_as_good_as_the_passage_that_exact_search_finds() -> None:
    def ranking(*rows: tuple[str, float]) -> Ranking:
        ids, scores = zip(*rows, strict=True)
        columns = [["q0"] * len(ids), ids, pa.array(range(len(ids)), pa.int32()), pa.array(scores, pa.float32())]
        return Ranking(pa.table(columns, schema=schemas.RANKING), np.empty(0, np.float32))

    exact = ranking(("a", 0.9), ("b", 0.5))
    assert recall.of(exact, ranking(("c", 0.5), ("d", 0.5))) == (1.0, 2)
    assert recall.of(exact, ranking(("a", 0.9), ("d", 0.4))) == (0.5, 2)


def test_scores_are_those_of_exact_search(tmp_path: Path) -> None:
    table, asked = vectors([f"p{row:03d}" for row in range(200)], 3), vectors(["a", "b"], 4).table()
    lists = ivf.Lists.of(ivf.Centres.learn(table, IvfConfig(lists=7, probes=3)), table)
    exact = top_k(asked, table.blocks(), 200)
    scores = {(row["query_id"], row["passage_id"]): row["score"] for row in exact.to_pylist()}
    queries_QD = unpack(asked["vector"])
    found = lists.search(queries_QD, 5).ranking(asked["id"], 5).to_pylist()
    assert len(found) == 10
    assert all(row["score"] == scores[row["query_id"], row["passage_id"]] for row in found)
    ids = pa.array(["p007", "nowhere"])
    assert lists.scores(queries_QD, ids).tolist() == pytest.approx([scores["a", "p007"], np.nan], nan_ok=True)


def test_a_list_at_a_time_finds_what_a_query_at_a_time_finds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = vectors([f"p{row:03d}" for row in range(400)], 3)
    asked = vectors([f"q{row:03d}" for row in range(40)], 4).table()
    lists = ivf.Lists.of(ivf.Centres.learn(table, IvfConfig(lists=7, probes=3)), table)
    by_list, found, calls = ivf.big_batch_search, list[pa.Table](), list[int]()
    monkeypatch.setattr(ivf, "big_batch_search", lambda *given, **more: calls.append(1) or by_list(*given, **more))
    for queries_of_a_list in (40, 2):
        monkeypatch.setattr(ivf, "_QUERIES_OF_A_LIST", queries_of_a_list)
        found.append(lists.search(unpack(asked["vector"]), 5).ranking(asked["id"], 5))
        assert len(calls) == len(found) - 1
    assert found[0].equals(found[1])
    assert found[0].num_rows == 40 * 5
    assert capsys.readouterr().out == ""


def test_defaults_follow_the_number_of_passages() -> None:
    assert IvfConfig().resolved(9_000_000) == (12_000, 188)
    assert IvfConfig().resolved(1_000_000) == (4_000, 64)
    assert IvfConfig().resolved(3) == (3, 3)
    assert IvfConfig(lists=50, probes=80).resolved(1_000) == (50, 50)
