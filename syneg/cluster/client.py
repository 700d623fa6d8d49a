"""Talking to Ray's job server: submit, follow the log, wait for the end."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import aiohttp
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from syneg.cluster.job import Job, attempt, attempt_id, exit_code
from syneg.errors import SynegError

_POLL_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 15.0  # between two attempts to reach the head again
_RECONNECTS = 30  # in a row without an answer: about seven minutes
_FAILURES = (RuntimeError, OSError, aiohttp.ClientError, AuthenticationError)  # of the job client


class HeadUnreachable(SynegError):
    """The head does not answer, or does not let us in."""


class Lost(SynegError):
    """A job was followed, and its head is out of reach: how the job ends is not known."""

    exit_code = 3


class _Log:
    """A log that is read again from its beginning after a broken connection, and shown once."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self.shown = 0
        self._show = show

    def take(self, text: str, start: int) -> None:
        """`text` begins `start` characters into the log."""
        fresh = text[max(0, self.shown - start) :]
        if fresh:
            self._show(fresh)
            self.shown = start + len(text)


class Head:
    """One cluster's job server. Messages of failures name the address and never the token."""

    def __init__(self, address: str) -> None:
        self._address = address
        try:
            self._client = JobSubmissionClient(address)
        except _FAILURES as error:
            raise self._explained(error) from error

    def submit(self, job: Job) -> tuple[str, bool]:
        """The submission id, and whether this call started it: the same job is never started twice at a time.

        Raises:
            HeadUnreachable: the head does not answer or refuses the token.
        """
        statuses: list[str] = []
        while (status := self._status(attempt_id(job.name, len(statuses) + 1))) is not None:
            statuses.append(status)
        submission, new = attempt(job.name, statuses)
        if new:
            try:
                self._client.submit_job(
                    entrypoint=job.entrypoint,
                    submission_id=submission,
                    runtime_env=dict(job.runtime_env),
                    metadata={"run": job.name},
                )
            except _FAILURES as error:
                if self._status(submission) is None:
                    raise self._explained(error) from error
                new = False  # somebody else submitted it in between
        return submission, new

    def follow(self, submission: str, show: Callable[[str], None]) -> int:
        """Shows the log from its beginning until the job has ended, over broken connections. Returns its exit code.

        Raises:
            Lost: the head could not be reached for minutes.
        """
        log, broken = _Log(show), 0
        while True:
            try:
                with suppress(*_FAILURES):  # whether the head is there shows the next line
                    asyncio.run(self._tail(submission, log))
                details = self._client.get_job_info(submission)
                broken = 0
                if details.status.is_terminal():
                    return exit_code(details.status.value, details.driver_exit_code)
            except _FAILURES as error:
                broken += 1
                if broken > _RECONNECTS:
                    raise self._lost(submission, error) from error
            time.sleep(min(max(1, broken) * _POLL_SECONDS, _LONGEST_WAIT_SECONDS))

    async def _tail(self, submission: str, log: "_Log") -> None:
        seen = 0  # the server always begins at the first line
        async for text in self._client.tail_job_logs(submission):
            log.take(text, seen)
            seen += len(text)

    def _status(self, submission: str) -> str | None:
        """None where the head knows no such job."""
        try:
            return self._client.get_job_status(submission).value
        except _FAILURES as error:
            if "404" in str(error):
                return None
            raise self._explained(error) from error

    def _lost(self, submission: str, error: Exception) -> Lost:
        return Lost(
            f"{self._explained(error)}\nNothing was heard of {submission} for minutes; it may still run. Once the head "
            f"answers, look with `ray job status --address {self._address} {submission}`, or follow it again by the "
            "same command, which joins it. `syneg status` reads how far it is from the run's storage."
        )

    def _explained(self, error: Exception) -> HeadUnreachable:
        said = str(error)
        if isinstance(error, AuthenticationError):
            return HeadUnreachable(
                f"{self._address} refuses the token. Set RAY_AUTH_TOKEN to the cluster's, e.g. on Kubernetes "
                "kubectl -n syneg get secret syneg-auth -o jsonpath='{.data.auth_token}' | base64 -d."
            )
        return HeadUnreachable(f"{self._address}: {said}\nIs the tunnel to the head open, and is the head up?")
