"""What can go wrong, by who has to act. Every message says what was seen, what was expected and what to do."""


class SynegError(Exception):
    """A failure that syneg explains. `exit_code` is what the command line ends with.

    Only the message is kept, so that instances travel between Ray processes by pickle.
    """

    exit_code = 1


class BadInput(SynegError):
    """The config or a file that the user brought is wrong. Raised before a run starts, where that can be known."""

    exit_code = 2


class StageFailed(SynegError):
    """A stage ended without a result; what it had already stored is kept."""


class StoreError(SynegError):
    """Stored output is missing, damaged or contradicts its manifest."""


class Unreachable(StoreError):
    """Object storage refuses, or does not answer however often it is asked."""
