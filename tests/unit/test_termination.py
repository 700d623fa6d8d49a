"""SIGTERM ends a command as an error would: everything is closed, one line says how to go on."""

import signal
import subprocess
import sys
import time

import pytest

_COMMAND = """
import sys, time
from syneg import cli, schedule, termination

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


@pytest.mark.parametrize(
    "wait",
    [
        "time.sleep(60)",
        # Side by side: the stage computes in a thread of its own, which nobody waits for.
        "schedule.run(['a'], {'a': []}, 2, print, lambda name: time.sleep(60), print)",
    ],
    ids=["in the main thread", "beside it"],
)
def test_stopped(wait: str) -> None:
    command = [sys.executable, "-c", _COMMAND.format(wait=wait)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    said, complained = process.communicate(timeout=30)
    assert process.returncode == 143
    assert said.endswith("closed\n")
    assert "What was stored is kept" in complained
    assert "Traceback" not in complained
