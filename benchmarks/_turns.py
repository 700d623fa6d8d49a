"""Two sides of a comparison, each a process of its own, that work step by step in turns."""

import json
import os
import resource
import statistics
import subprocess
import sys
from typing import Any


class Side:
    """A process that takes a step whenever it is told to. `command` starts it; it speaks by the functions below."""

    def __init__(self, command: list[str], threads: int) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self._seconds: list[float] = []
        assert self._read() == {"ready": True}

    def step(self) -> float:
        """Seconds of one step, as the side measured them."""
        self._tell("step")
        seconds = self._read()["seconds"]
        self._seconds.append(seconds)
        return seconds

    @property
    def median(self) -> float:
        """Seconds a step, the first left out where there are others."""
        return statistics.median(self._seconds[1:] or self._seconds)

    def end(self) -> dict[str, Any]:
        """Ends the process. What it says at its end; `peak_mib` is its peak memory."""
        self._tell("end")
        found = self._read()
        self._process.communicate()
        return found

    def _tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith('{"'):  # JSON, and not the dictionary that a trainer prints
                return json.loads(line)
        sys.exit(f"{' '.join(map(str, self._process.args))} ended with {self._process.wait()}")  # type: ignore[arg-type]


def wait() -> None:
    """In a side's process: until the next step is asked for."""
    sys.stdin.readline()


def answer(**values: Any) -> None:
    """In a side's process: `ready=True` once it can begin, then `seconds` after every step."""
    print(json.dumps(values), flush=True)


def end(**values: Any) -> None:
    """In a side's process, after its last step."""
    wait()
    answer(peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, **values)
