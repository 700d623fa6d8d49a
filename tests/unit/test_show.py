"""What `syneg show` prints of a stored run."""

from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from syneg import runs, schemas
from syneg.commands.show import about
from syneg.config import RunConfig
from syneg.errors import BadInput
from tests.unit import stored_run

WRITTEN = {"negative_id": "s0", "query_id": "q0", "positive_id": "p0", "text": "written", "domain": "", "length": ""}
WRITTEN |= {"difficulty": "Basic", "reasoning": "", "prompt_version": "", "model": ""}
ROWS = {
    "corpus.passages": [{"passage_id": f"p{row}", "title": "", "text": f"text {row} [x] " * 40} for row in range(3)],
    "corpus.queries": [{"query_id": "q0", "text": "why?", "split": "train"}],
    "corpus.qrels": [{"query_id": "q0", "passage_id": "p0", "relevance": 1}],
    "mine.candidates": [
        {"query_id": "q0", "passage_id": "p1", "sampler": "dense", "rank": 1, "score": 0.5, "positive_score": 0.75}
        | {"margin": 0.25},
        {"query_id": "q0", "passage_id": "p0", "sampler": "dense", "rank": 0, "score": 0.75, "positive_score": 0.75}
        | {"margin": 0.0, "reject_reason": "positive"},
    ],
    "gate.synthetic": [WRITTEN | {"seed": 0, "input_tokens": 1, "output_tokens": 1, "reject_reason": "meta_text"}],
    "mix.instances": [
        {"query_id": "q0", "query": "why?", "positive_id": "p0", "positive": "text 0"}
        | {"negatives": [{"id": "p1", "text": "text 1", "source": "dense", "score": 0.5, "rank": 1}]}
    ],
}


def printed(tmp_path: Path, query_id: str, last: str = "report", **settings: object) -> str:
    config = RunConfig.model_validate(
        {"name": "x", "store": {"root": str(tmp_path)}, "corpus": {"source": "stdlib"}} | settings
    )
    made = {
        name: pa.Table.from_pylist(rows, schema=getattr(schemas, name.split(".")[1].upper()))
        for name, rows in ROWS.items()
    }
    finished = runs.load(stored_run.write(tmp_path, config, made, last=last))
    console = Console(width=200)
    with console.capture() as capture:
        for part in about(finished, query_id):
            console.print(part)
    return capture.get()


def test_everything_about_a_query(tmp_path: Path) -> None:
    text = printed(tmp_path, "q0")
    for expected in ("why?", "dense: 1 of 2 kept; positive_score 0.7500", "0.2500", "meta_text", "trained on", "[x]"):
        assert expected in text
    assert text.index("p0 ") < text.index("p1 ")


def test_of_a_run_that_ends_at_mine_its_candidates_are_shown(tmp_path: Path) -> None:
    text = printed(tmp_path, "q0", last="mine")
    assert "dense: 1 of 2 kept" in text
    assert "There are no instances: mix is not done. To go on, run `syneg run CONFIG --to mix`." in text
    assert text.count("is not done") == 1


def test_candidates_that_the_judge_has_not_seen_yet_are_called_so(tmp_path: Path) -> None:
    text = printed(tmp_path, "q0", last="mine", judge_mined={"enabled": True})
    assert "dense: 1 of 2 kept" in text
    assert "The candidates shown are those of mine: gate_mined is not done." in text


def test_an_unknown_query_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no query 'q7'"):
        printed(tmp_path, "q7")
