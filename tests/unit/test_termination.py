"""SIGTERM, SIGHUP and Ctrl-C end a command as an error would: everything is closed, one line says how to go on."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# As a shell would start it, or nohup: whatever the tests are started by is left out.
_DEFAULT = "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)"
_NOHUP = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
_COMMAND = """
import sys, time
from syneg import cli, termination
from syneg.pipeline import schedule

def app():
    try:
        with termination.kept():
            import signal
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(15))  # as ray.init does
        print("ready", flush=True)
        {wait}
    finally:
        print("closed", flush=True)

cli.app = app
cli.main()
"""


# Owns the terminal that its inputs and outputs are; says as much while it closes as a progress line does.
_IN_A_TERMINAL = """
import fcntl, sys, termios, time
from pathlib import Path
from syneg import cli

fcntl.ioctl(0, termios.TIOCSCTTY, 0)

def app():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("closing", flush=True)
        Path({closed!r}).touch()

cli.app = app
cli.main()
"""
_TWICE = """
import sys, time
from syneg import cli

def app():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("closing", flush=True)
        time.sleep(1)
        print("closed", flush=True)

cli.app = app
cli.main()
"""


_IN_RAY = """
import sys, time
from syneg import cli, termination
from syneg.pipeline import schedule

def app():
    import ray

    @ray.remote
    def training():
        time.sleep(60)

    def work(name):
        waited_for = training.remote()
        print("ready", flush=True)
        ray.get(waited_for)

    with termination.kept():
        ray.init(address="local", num_cpus=1, include_dashboard=False, object_store_memory=10**8, logging_level="ERROR")
    try:
        schedule.run(["train"], {"train": []}, 1, lambda name: None, work, print)
    finally:
        ray.shutdown()
        print("closed", flush=True)

cli.app = app
cli.main()
"""


def started(code: str, first: str = _DEFAULT) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", first + code]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
@pytest.mark.parametrize(
    "wait",
    [
        "time.sleep(60)",
        # Side by side: the stage computes in a thread of its own, which nobody waits for.
        "schedule.run(['a'], {'a': []}, 2, print, lambda name: time.sleep(60), print)",
    ],
    ids=["in the main thread", "beside it"],
)
def test_stopped(wait: str, number: signal.Signals) -> None:
    process = started(_COMMAND.format(wait=wait))
    process.send_signal(number)
    said, complained = process.communicate(timeout=30)
    assert process.returncode == 143
    assert said.endswith("closed\n")
    assert "Finished work is kept" in complained
    assert "Traceback" not in complained


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stage_that_waits_for_ray_is_not_waited_for(number: signal.Signals, code: int) -> None:
    process = started(_IN_RAY)
    process.send_signal(number)
    said, complained = process.communicate(timeout=30)
    assert process.returncode == code
    assert said.endswith("closed\n")
    assert "Finished work is kept" in complained
    assert "Traceback" not in complained


def test_under_nohup_a_closed_terminal_ends_nothing() -> None:
    process = started(_COMMAND.format(wait="time.sleep(60)"), _NOHUP)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143


@pytest.mark.parametrize(("second", "code"), [(signal.SIGHUP, 143), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_second_hangup_does_not_cut_the_closing_and_a_second_sigterm_does(second: signal.Signals, code: int) -> None:
    process = started(_TWICE)
    process.send_signal(signal.SIGHUP)
    assert process.stdout is not None
    assert process.stdout.readline() == "closing\n"
    process.send_signal(second)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == code
    assert ("closed" in said) == (second == signal.SIGHUP)


def test_a_terminal_that_is_closed_ends_it_as_cleanly(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    ours, its = pty.openpty()
    command = [sys.executable, "-c", _DEFAULT + _IN_A_TERMINAL.format(closed=str(closed))]
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, start_new_session=True)
    os.close(its)
    assert os.read(ours, 100).startswith(b"ready")
    time.sleep(0.2)
    os.close(ours)
    assert process.wait(30) == 143
    assert closed.exists()
