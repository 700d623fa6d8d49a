"""Output that a command outlives which stores its work: what cannot be said any more is lost, and nothing else."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class Outlived:
    """A stream whose reader may go (`| head`) and whose disk may fill up. A disk may be emptied again, so what comes
    later is tried all the same."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.error: OSError | None = None  # the last one

    def write(self, text: str) -> int:
        try:
            self.stream.write(text)
        except OSError as error:
            self.error = error
        return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            self.error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def outlived() -> Iterator[None]:
    """Makes standard output and standard error so for as long as the body takes. Also a decorator of a command."""
    before = sys.stdout, sys.stderr
    ours = [stream and Outlived(stream) for stream in before]  # None where it was closed from the beginning
    sys.stdout, sys.stderr = ours
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in ours:
            if stream:
                _close(stream)
        if (said := ours[0]) and said.error and not isinstance(said.error, BrokenPipeError):
            with suppress(OSError):
                print(f"syneg: not all of the output could be written ({said.error.strerror}).", file=sys.stderr)


def _close(stream: Outlived) -> None:
    """What a stream still holds and cannot write goes nowhere, else the interpreter fails by it at its end."""
    stream.flush()
    if stream.error:
        with suppress(OSError):  # no file of the system's
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
