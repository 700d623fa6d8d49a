"""What `syneg show` prints of a stored run."""

import re
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console
from typer.testing import CliRunner

from syneg import runs, schemas
from syneg.cli import app
from syneg.commands.show import about
from syneg.config.run import RunConfig
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


def stored(root: Path, rows: Mapping[str, list[dict]] = ROWS, last: str = "report", **settings: object) -> str:
    """The folder of a run named x."""
    config = RunConfig.model_validate(
        {"name": "x", "store": {"root": str(root)}, "corpus": {"source": "stdlib"}} | settings
    )
    made = {
        name: pa.Table.from_pylist(given, schema=getattr(schemas, name.split(".")[1].upper()))
        for name, given in rows.items()
    }
    return stored_run.write(root, config, made, last=last)


def printed(folder: str, query_id: str, width: int = 200) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        for part in about(runs.load(folder), query_id):
            console.print(part)
    return capture.get()


def test_everything_about_a_query(tmp_path: Path) -> None:
    text = printed(stored(tmp_path), "q0")
    for expected in ("why?", "dense: 1 of 2 kept; positive_score 0.7500", "0.2500", "meta_text", "trained on", "[x]"):
        assert expected in text
    assert text.index("p0 ") < text.index("p1 ")


def test_ids_and_words_are_whole_in_80_columns(tmp_path: Path) -> None:
    text = printed(stored(tmp_path), "q0", width=80)
    for expected in ("passage_id", "reject_reason", "meta_text", "positive"):
        assert expected in text
    assert set(re.findall(r"\S*…", text)) == {"…"}  # where a text was cut, as without --full, and nowhere else
    assert "cross_score" not in text  # nobody asked for it


@pytest.mark.parametrize("full", [[], ["--full"]])
def test_the_command_alters_no_id_and_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: list[str]) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    long_id = "ns:100:0/" + "x" * 200
    mined = {"passage_id": long_id, "sampler": "bm25", "rank": 0, "score": 0.5}
    negative = {"id": long_id, "text": ":dog:", "source": "bm25", "score": 0.5, "rank": 0}
    row = {"query_id": "q:100:", "query": "why?", "positive_id": long_id, "positive": "a", "negatives": [negative]}
    written = WRITTEN | {"query_id": "q:100:", "positive_id": long_id, "seed": 0, "input_tokens": 1, "output_tokens": 1}
    rows = {
        "corpus.passages": [{"passage_id": long_id, "title": "", "text": "the ratio 1:100:5 :warning: [red]"}],
        "corpus.queries": [{"query_id": "q:100:", "text": "why :key:?", "split": "train"}],
        "corpus.qrels": [{"query_id": "q:100:", "passage_id": long_id, "relevance": 1}],
        "mine.candidates": [{"query_id": "q:100:", **mined}],
        "gate.synthetic": [written],
        "mix.instances": [row],
    }
    done = CliRunner().invoke(app, ["show", stored(tmp_path, rows), "--query-id", "q:100:", *full])
    assert done.exit_code == 0, done.output
    for whole in ("q:100:", "why :key:?", "the ratio 1:100:5 :warning: [red]", ":dog:"):
        assert whole in done.output
    assert done.output.count(f"│ {long_id} ") == 4  # judged, mined, the synthetic one's positive, negative


def test_of_a_run_that_ends_at_mine_its_candidates_are_shown(tmp_path: Path) -> None:
    text = printed(stored(tmp_path, last="mine"), "q0")
    assert "dense: 1 of 2 kept" in text
    assert "There are no instances: mix is not done. To go on, run `syneg run CONFIG --to mix`." in text
    assert text.count("is not done") == 1


def test_candidates_that_the_judge_has_not_seen_yet_are_called_so(tmp_path: Path) -> None:
    text = printed(stored(tmp_path, last="mine", judge_mined={"enabled": True}), "q0")
    assert "dense: 1 of 2 kept" in text
    assert "The candidates shown are those of mine: gate_mined is not done." in text


def test_an_unknown_query_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"has no query 'q7'\. Ids there look like 'q0'"):
        printed(stored(tmp_path), "q7")
    with pytest.raises(BadInput, match=r"has no query '0'\. Did you mean 'q0'\?"):
        printed(stored(tmp_path), "0")
