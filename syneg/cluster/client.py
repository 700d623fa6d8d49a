"""Talking to Ray's job server: submit, follow the log, wait for the end."""

import asyncio
import time
from collections.abc import Callable

import aiohttp
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from syneg.cluster.job import Job, attempt, attempt_id, exit_code
from syneg.errors import SynegError

_POLL_SECONDS = 1.0
_RECONNECTS = 30  # in a row without a line between them
_FAILURES = (RuntimeError, OSError, aiohttp.ClientError, AuthenticationError)  # of the job client


class HeadUnreachable(SynegError):
    """The head does not answer, or does not let us in."""


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
        """Shows the log from its beginning until the job has ended, over broken connections. Returns its exit code."""
        log, broken = _Log(show), 0
        while True:
            before = log.shown
            try:
                asyncio.run(self._tail(submission, log))
            except _FAILURES as error:
                broken = broken + 1 if log.shown == before else 0
                if broken > _RECONNECTS:
                    raise self._explained(error) from error
            details = self._client.get_job_info(submission)
            if details.status.is_terminal():
                return exit_code(details.status.value, details.driver_exit_code)
            time.sleep(_POLL_SECONDS)

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

    def _explained(self, error: Exception) -> HeadUnreachable:
        said = str(error)
        if isinstance(error, AuthenticationError):
            return HeadUnreachable(
                f"{self._address} refuses the token. Set RAY_AUTH_TOKEN to the cluster's, e.g. on Kubernetes "
                "kubectl -n syneg get secret syneg-auth -o jsonpath='{.data.auth_token}' | base64 -d."
            )
        return HeadUnreachable(f"{self._address}: {said}\nIs the tunnel to the head open, and is the head up?")
