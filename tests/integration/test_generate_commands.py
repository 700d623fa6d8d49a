"""`syneg generate --preview` and `syneg attributes` over a small folder, with a stand-in for the LLM."""

import json
from pathlib import Path

import pytest
import yaml

from syneg.commands import generate as commands
from syneg.generate import attributes
from tests.standin_server import StandIn

PAIRS = 4


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config over PAIRS training pairs, without an engine."""
    folder = tmp_path / "collection"
    (folder / "qrels").mkdir(parents=True)
    numbers = range(PAIRS + 1)
    passages = [
        {"_id": f"p{n}", "title": f"Title {n}", "text": f"Passage {n} tells what is known of it."} for n in numbers
    ]
    queries = [{"_id": f"q{n}", "text": f"What is known of number {n}?"} for n in numbers]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in passages))
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in queries))
    for split, own in (("train", numbers[:-1]), ("test", numbers[-1:])):
        lines = "".join(f"q{n}\tp{n}\t1\n" for n in own)
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{lines}")
    path = tmp_path / "config.yaml"
    settings = {
        "name": "look",
        "store": {"root": str(tmp_path / "out")},
        "corpus": {"source": "beir", "path": str(folder)},
    }
    path.write_text(yaml.safe_dump(settings))
    return path


def engine(server: StandIn) -> list[str]:
    return [f"generate.engine={{kind: openai, model: stand-in, base_url: '{server.url}', api_key_env: null}}"]


@pytest.mark.usefixtures("ray_session")
def test_a_preview_shows_prompts_and_answers_and_stores_nothing(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with StandIn() as server:
        commands.generate(str(config), engine(server), preview=2)
    shown = capsys.readouterr().out
    assert server.requests == 2
    assert shown.count("Assume you are an expert in") == 2
    assert shown.count("[Task Definition]") == 2
    assert shown.count("hard_negative") >= 4  # in the format section, and in the answer
    assert shown.count("rejected: ") + shown.count("accepted") >= 2
    assert not (config.parent / "out").exists()


@pytest.mark.usefixtures("ray_session")
def test_proposed_lists_are_lists_that_a_run_reads(config: Path) -> None:
    out = config.parent / "lists.yaml"
    with StandIn(words=3) as server:
        commands.attributes(str(config), engine(server), passages=3, out=out)
    (body,) = server.bodies
    assert body["messages"][0]["content"].count("Passage ") == 3
    assert 2 <= len(attributes.load(str(out)).domain_name) <= 10
    assert out.read_text().startswith("# Proposed by an LLM from 3 passages.")
