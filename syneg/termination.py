"""Ending by a signal as cleanly as by an error: a stopped job and a closed terminal leave nothing half-written."""

import os
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none


INTERRUPTED = 128 + signal.SIGINT
OUTPUT_CLOSED = 128 + 13  # SIGPIPE, as a shell counts it; Windows has none
MESSAGE = "Stopped. Finished work is kept; run the same command to continue without repeating it."


def listen() -> None:
    """SIGTERM raises KeyboardInterrupt in the main thread, so that sessions and temporary folders are closed on the way
    out. It is what Ctrl-C raises, and all that Ray's calls let through before they have what they wait for.

    So does SIGHUP, sent when a terminal closes, unless it is ignored, as under nohup. A second SIGTERM ends
    the process at once.
    """
    signal.signal(signal.SIGTERM, _stop)
    if _HANGUP is not None and signal.getsignal(_HANGUP) is not signal.SIG_IGN:
        signal.signal(_HANGUP, _stop)


@contextmanager
def kept() -> Iterator[None]:
    """Puts back the handlers that the body replaced, as ray.init does SIGTERM's."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, _HANGUP) if number is not None}
    yield
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            if handler is not None:  # one that Python did not set, and cannot
                signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if _HANGUP is not None:
        # A terminal that is closed tends to send two, its own and its shell's: the second must not cut the closing.
        signal.signal(_HANGUP, signal.SIG_IGN)
        _leave_closed_terminals()
    raise KeyboardInterrupt


def exit_code() -> int:
    """Of a command that KeyboardInterrupt ended: 143 after a signal that we listen to, 130 after Ctrl-C."""
    return INTERRUPTED if signal.getsignal(signal.SIGTERM) is _stop else 128 + signal.SIGTERM


def _leave_closed_terminals() -> None:
    """Redirect output of a closed terminal to /dev/null, so that cleanup does not fail on it."""
    for output in (1, 2):
        with suppress(OSError):  # there is no such output
            if stat.S_ISCHR(os.fstat(output).st_mode) and not os.isatty(output):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, output)
                os.close(nowhere)
