"""In which order the mix takes what a sampler brought."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.memory import rows_of
from tests.unit.mine.test_stage import many, output_of


def places(tmp_path: Path, pick: str, **more: Any) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The accepted rows of each query and sampler, by place."""
    samplers = {"bm25": {"window_end": 9}, "dense": {"window_end": 12, "pick": pick}}
    rows = rows_of(output_of(many(60), tmp_path, samplers=samplers, **more), "candidates").to_pylist()
    found = defaultdict(list)
    for row in rows:
        assert (row["place"] is None) == (row["reject_reason"] is not None)
        if row["place"] is not None:
            found[row["query_id"], row["sampler"]].append(row)
    for own in found.values():
        own.sort(key=lambda row: row["place"])
        assert [row["place"] for row in own] == list(range(len(own)))
    return found


def test_by_rank(tmp_path: Path) -> None:
    found = places(tmp_path, "top", least=4, on_short="random")
    assert {sampler for _, sampler in found} >= {"bm25", "dense"}
    for own in found.values():
        ranks = [row["rank"] for row in own]
        assert ranks == sorted(ranks)


def test_by_a_draw_where_it_is_uniform(tmp_path: Path) -> None:
    top, uniform = places(tmp_path, "top"), places(tmp_path, "uniform")
    for (query, sampler), own in uniform.items():
        assert {row["passage_id"] for row in own} == {row["passage_id"] for row in top[query, sampler]}
    dense = [[row["rank"] for row in own] for (_, sampler), own in uniform.items() if sampler == "dense"]
    several = [ranks for ranks in dense if len(ranks) > 1]
    assert sum(ranks != sorted(ranks) for ranks in several) > len(several) / 2
    assert uniform == places(tmp_path, "uniform")
    assert all(own == top[key] for key, own in uniform.items() if key[1] == "bm25")
