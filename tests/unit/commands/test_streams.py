"""A command that stores its work goes on when nobody can take its output any more."""

import subprocess
import sys
from pathlib import Path

import pytest

_WORKS = """
import sys
from pathlib import Path
from rich.console import Console
from syneg import cli
from syneg.commands import streams

@streams.outlived()
def work(done: Path) -> None:
    console = Console()
    console.print("began")
    sys.stdin.read()  # until the reader has gone
    for number in range(2_000):
        console.print(f"line {number} of what nobody reads", highlight=False)
    done.write_text("done")
    print("the end", flush=True)

cli.app.command()(work)
cli.main()
"""


def command(done: Path) -> list[str]:
    return [sys.executable, "-c", _WORKS, "work", str(done)]


def test_a_reader_that_goes_ends_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(tmp_path / "done"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "began\n"
    process.stdout.close()
    process.stdin.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 0
    assert (tmp_path / "done").read_text() == "done"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_a_log_whose_disk_is_full_ends_nothing_and_is_said_once(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command(tmp_path / "done"), input="", stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (
        0,
        "syneg: not all of the output could be written (No space left on device).\n",
    )
    assert (tmp_path / "done").read_text() == "done"
