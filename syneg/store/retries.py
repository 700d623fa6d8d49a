"""Which failures of object storage pass by waiting, and waiting for them: exponential, with full jitter and a cap.

Full jitter (a wait drawn uniformly from zero to the bound) keeps many workers that were throttled together from coming
back together: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import aiohttp
import botocore.exceptions
from botocore.parsers import ResponseParserError

from syneg.errors import Unreachable
from syneg.store import retry_count

Result = TypeVar("Result")

_ATTEMPTS = 10
_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 20.0
_CHANCE = random.SystemRandom()  # the waits are nobody's results: they take nothing from a seeded generator
_TRANSIENT_CODES = {
    "InternalError",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "RequestTimeout",
    "RequestTimeoutException",
    "IncompleteBody",
    "OperationAborted",
    "ConditionalRequestConflict",
    "XAmzContentSHA256Mismatch",
    "BadDigest",
}
_TRANSIENT_STATUSES = {408, 429, 500, 502, 503, 504}
_TRANSIENT_ERRORS = (
    aiohttp.ClientError,  # a body that was cut
    asyncio.TimeoutError,
    botocore.exceptions.ConnectionError,
    botocore.exceptions.FlexibleChecksumError,
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.IncompleteReadError,
    ResponseParserError,  # an answer that is no XML: a throttled server's, or a proxy's
    ConnectionError,
    TimeoutError,
)
_FAILURES = (OSError, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, *_TRANSIENT_ERRORS)
_WHAT_TO_DO = {
    "AccessDenied": "These credentials may not do this: see to the bucket's policy, or use others.",
    "Forbidden": "These credentials may not do this: see to the bucket's policy, or use others.",
    "403": "These credentials may not do this, or are wrong: see to the bucket's policy and to AWS_ACCESS_KEY_ID.",
    "ExpiredToken": "The session token has expired: renew it, then run the same command again.",
    "InvalidAccessKeyId": "The server does not know this key: see to AWS_ACCESS_KEY_ID and storage.endpoint_url.",
    "InvalidToken": "The session token is not valid: see to AWS_SESSION_TOKEN.",
    "NoCredentialsError": "Give credentials by the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), a profile "
    "(AWS_PROFILE) or the machine's role.",
    "NoSuchBucket": "There is no such bucket: create it, or mend the address.",
    "PermanentRedirect": "The bucket lies in another region: give it as storage.region.",
    "SignatureDoesNotMatch": "The secret key does not fit the access key, or a proxy changes requests.",
    "RequestTimeTooSkewed": "This machine's clock is wrong: set it.",
}


@dataclass(frozen=True)
class Failure:
    """What the server said: the code and the HTTP status, empty and 0 where no answer came."""

    code: str
    status: int
    error: BaseException

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        response = getattr(error, "response", None) or getattr(error.__cause__, "response", None) or {}
        code = response.get("Error", {}).get("Code", "")
        return cls(code, response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0), error)

    @property
    def is_precondition(self) -> bool:
        return self.status == 412 or self.code == "PreconditionFailed"

    @property
    def is_absence(self) -> bool:
        return isinstance(self.error, FileNotFoundError) and self.code != "NoSuchBucket"

    @property
    def is_transient(self) -> bool:
        known = self.code in _TRANSIENT_CODES or self.status in _TRANSIENT_STATUSES
        return known or (not self.status and isinstance(self.error, _TRANSIENT_ERRORS))

    @property
    def advice(self) -> str:
        for name in (self.code, type(self.error).__name__, str(self.status)):
            if name in _WHAT_TO_DO:
                return _WHAT_TO_DO[name]
        return "This does not pass by waiting: see to the storage and to its settings."

    def __str__(self) -> str:
        return f"{self.code or type(self.error).__name__} ({self.error})"


def calling(path: str, call: Callable[[], Result]) -> Result:
    """What `call` returns; while it fails in a way that passes, it is called again after a wait.

    Raises:
        FileNotFoundError: the object is not there.
        FileExistsError: the call was on the condition that it is not, and it is.
        Unreachable: the failure does not pass, or did not in `_ATTEMPTS` attempts.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return call()
        except _FAILURES as error:
            failure = Failure.of(error)
            if failure.is_absence:
                raise FileNotFoundError(2, "there is no such object", path) from error
            if failure.is_precondition:
                raise FileExistsError(17, "there is an object already", path) from error
            if not failure.is_transient:
                raise Unreachable(f"{path}: {failure}. {failure.advice}") from error
            if attempt == _ATTEMPTS:
                raise Unreachable(
                    f"{path}: {failure}, {_ATTEMPTS} times in a row. What is stored is kept: see to the storage, "
                    "then run the same command again."
                ) from error
        retry_count.add_retry()
        time.sleep(_CHANCE.uniform(0, min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2**attempt)))
    raise AssertionError("unreachable: the last attempt returns or raises")
