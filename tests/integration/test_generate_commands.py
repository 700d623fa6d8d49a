"""`syneg generate --preview` and `syneg attributes` over a small folder, with a stand-in for the LLM."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from syneg import cli
from syneg.commands import generate as commands
from syneg.errors import BadInput, StageFailed
from syneg.generate import attributes
from tests.standin_server import StandIn

PAIRS = 4
SECRET = "zq9TOPSECRETzq9"
LISTS = {"domain_name": ["Tax", "Loans"], "difficult_level": ["Adult"]}


class Saying(StandIn):
    """Answers `text`, with the bearer's token in it."""

    def __init__(self, text: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.text = text

    def reply(self, body: dict[str, Any], key: str) -> tuple[int, dict[str, Any]] | None:
        replied = super().reply(body, key)
        if replied and replied[0] == 200:
            replied[1]["choices"][0]["message"]["content"] = self.text.replace("KEY", key)
        elif replied:
            replied[1]["error"]["message"] = f"Incorrect API key provided: {key}"
        return replied


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    """A key in the environment; the name of its variable."""
    monkeypatch.setenv("STAND_IN_API_KEY", SECRET)
    return "STAND_IN_API_KEY"


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


def engine(server: StandIn, key: str = "null") -> list[str]:
    return [f"generate.engine={{kind: openai, model: stand-in, base_url: '{server.url}', api_key_env: {key}}}"]


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
    lengths = "|".join(attributes.load(None).length)
    assert (
        len(
            re.findall(
                f"asked for: domain .+?, difficulty .+?, length (?:{lengths}) the positive", " ".join(shown.split())
            )
        )
        == 2
    )


@pytest.mark.usefixtures("ray_session")
def test_a_preview_shows_no_key(config: Path, capsys: pytest.CaptureFixture[str], secret: str) -> None:
    with Saying(json.dumps({"reasoning": "with KEY", "hard_negative": "about KEY"})) as server:
        commands.generate(str(config), engine(server, secret), preview=1)
    shown = capsys.readouterr().out
    assert server.requests == 1
    assert "with Bearer [redacted]" in shown
    assert SECRET not in shown


@pytest.mark.usefixtures("ray_session")
def test_proposed_lists_are_lists_that_a_run_reads(config: Path) -> None:
    out = config.parent / "lists.yaml"
    with StandIn(words=3) as server:
        commands.attributes(str(config), engine(server), passages=3, out=out)
    (body,) = server.bodies
    assert body["messages"][0]["content"].count("Passage ") == 3
    assert 2 <= len(attributes.load(str(out)).domain_name) <= 10
    assert out.read_text().startswith("# Proposed by an LLM from 3 passages.")


@pytest.mark.usefixtures("ray_session")
def test_proposed_lists_may_stand_in_a_fence(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Saying(f"```json\n{json.dumps(LISTS)}\n```") as server:
        commands.attributes(str(config), engine(server), passages=3)
    found = yaml.safe_load(capsys.readouterr().out)
    assert {name: found[name] for name in LISTS} == LISTS


@pytest.mark.usefixtures("ray_session")
def test_a_key_that_is_refused_is_told_in_one_line(
    config: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    with Saying("", key="another") as server:
        arguments = ["syneg", "attributes", str(config), *engine(server, secret)]
        monkeypatch.setattr("sys.argv", arguments)
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert ended.value.code == StageFailed.exit_code
    said = capfd.readouterr().err
    (line,) = [line for line in said.splitlines() if line.startswith("syneg: ")]
    assert "the engine stopped" in line
    assert "401" in line
    assert "syneg.errors" not in line
    assert f"See to the key that the environment has in {secret}" in said
    assert "Traceback" not in said
    assert SECRET not in said


@pytest.mark.parametrize("key", [None, "another"])
def test_nothing_of_ray_is_shown(config: Path, key: str | None) -> None:
    """In a process of its own, since Ray says most of it once a process."""
    with StandIn(key=key) as server:
        command = [sys.executable, "-m", "syneg", "run", str(config), "--to", "gate", "generate.max_pairs=4"]
        ended = subprocess.run([*command, *engine(server)], capture_output=True, text=True, timeout=300)
    assert ended.returncode == (StageFailed.exit_code if key else 0)
    said = [line for line in ended.stderr.splitlines() if line.strip()]
    if key:
        assert said[0].startswith("syneg: generate: ")
        assert said[1:] == [
            "Name the environment variable that holds the endpoint's key by generate.engine.api_key_env."
        ]
    else:
        assert not said
    assert not re.search(r"\.(cc|py):\d+|Ray", ended.stdout)


@pytest.mark.parametrize("out", ["none/lists.yaml", "config.yaml", "config.yaml/lists.yaml"])
def test_nothing_is_asked_where_the_answer_cannot_be_written(config: Path, out: str) -> None:
    before = config.read_text()
    with StandIn() as server, pytest.raises(BadInput, match=r"--out: .* cannot be written"):
        commands.attributes(str(config), engine(server), out=config.parent / out)
    assert not server.requests
    assert config.read_text() == before
