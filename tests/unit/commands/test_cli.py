"""The command line: exit codes, and one clear line for bad input before anything is written."""

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from syneg import cli
from syneg.errors import Unreachable
from syneg.store import manifest

ROOT = Path(__file__).parents[3]


@dataclass
class Done:
    returncode: int | str | None
    stdout: str
    stderr: str


class Syneg:
    """Runs the command in this process: a second of imports less for each test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Done:
        self._monkeypatch.setattr(sys, "argv", ["syneg", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = self._capsys.readouterr()
        return Done(ended.value.code, str(printed.out), str(printed.err))


@pytest.fixture
def syneg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Syneg:
    monkeypatch.chdir(ROOT)
    return Syneg(monkeypatch, capsys)


def test_help_names_the_commands_and_the_exit_codes(syneg: Syneg) -> None:
    done = syneg("--help")
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("run", "plan", "corpus", "Exit codes"))


def test_version(syneg: Syneg) -> None:
    done = syneg("--version")
    assert (done.returncode, done.stdout) == (0, f"syneg {version('syneg')}\n")


def test_output_that_somebody_closed_is_no_failure(tmp_path: Path) -> None:
    """As by `| head`: rich prints the one, typer the other."""
    for arguments in (("plan", "configs/demo.yaml", f"store.root={tmp_path}"), ("--help",)):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [sys.executable, "-m", "syneg", *arguments], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=False
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (141, b"")


def test_plan_shows_every_stage(syneg: Syneg, tmp_path: Path) -> None:
    done = syneg("plan", "configs/demo.yaml", f"store.root={tmp_path / 'root'}")
    assert done.returncode == 0
    assert all(stage in done.stdout for stage in ("corpus", "generate", "mine", "train", "evaluate", "report"))
    assert not (tmp_path / "root").exists()


def test_plan_says_why_storage_cannot_be_reached(syneg: Syneg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[object]()

    def unreachable(*output: object) -> None:
        asked.append(output)
        raise Unreachable(f"s3://bucket: no such bucket, asked {len(asked)} times")

    monkeypatch.setattr(manifest, "load", unreachable)
    done = syneg("plan", "configs/demo.yaml", f"store.root={tmp_path / 'root'}")
    assert done.returncode == 0
    assert done.stdout.count("Not reached: s3://bucket: no such bucket") == 1
    assert len(asked) == 1
    assert "would run" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("run", "configs/none.yaml"), "configs/none.yaml: cannot be read"),
        (("run", "configs/demo.yaml", "train.epoch=1"), "unknown key train.epoch; did you mean train.epochs?"),
        (("run", "configs/demo.yaml", "encoder.model=/nowhere"), "encoder.model: no model at /nowhere"),
        (("run", "configs/demo.yaml", "generate.engine.model=/nowhere"), "generate.engine.model: no model at /nowhere"),
        (("run", "configs/demo.yaml", "store.root=/proc/none"), "store.root: /proc/none is not writable"),
        (("run", "configs/scifact.yaml", "corpus.path=/nowhere"), "/nowhere"),
        (("run", "configs/demo.yaml", "--from", "mine"), "--from mine needs finished stages before it"),
        (("run", "configs/demo.yaml", "--to", "mining"), "There is no stage 'mining'"),
        (("corpus", "/nowhere", "/tmp/never-written"), "/nowhere"),
        (("run", "configs/demo.yaml", "encoder.model=nowhere"), f"no model at nowhere (looked from {ROOT}: paths are"),
        (
            ("run", "configs/demo.yaml", "mix.review=nowhere"),
            f"there is no file nowhere (looked from {ROOT}: paths are",
        ),
        (("run", "configs/scifact.yaml", "corpus.path=nowhere"), f"no folder nowhere (looked from {ROOT}: paths are"),
        (("run", "nowhere.yaml"), f"(looked from {ROOT}: paths are relative to where syneg is called"),
        (
            ("run", "configs/experiments/scifact.yaml"),
            "is an experiment, not the config of one run: `syneg experiment configs/experiments/scifact.yaml`.",
        ),
        (("experiment", "configs/demo.yaml"), "is the config of one run: `syneg run configs/demo.yaml`."),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_2(
    syneg: Syneg, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    if arguments[0] == "run" and not any("store.root" in argument for argument in arguments):
        arguments = (*arguments, f"store.root={tmp_path / 'root'}")
    done = syneg(*arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert not (tmp_path / "root").exists()
