"""Ending by a signal as cleanly as by an error: a stopped job and a closed terminal leave nothing half-written."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(BaseException):
    """SIGTERM arrived. No Exception, so that no handler of errors between here and the top takes it for one."""

    exit_code = 128 + signal.SIGTERM
    message = (
        "Stopped. What was stored is kept: the same command goes on from there, and asks no answer and encodes no text "
        "twice."
    )


def listen() -> None:
    """SIGTERM raises Stopped in the main thread, so that sessions and temporary folders are closed on the way out.

    A second signal ends the process at once.
    """
    signal.signal(signal.SIGTERM, _stop)


@contextmanager
def kept() -> Iterator[None]:
    """Puts back the handler of SIGTERM that the body replaced, as ray.init does."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise Stopped
