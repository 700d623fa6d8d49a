"""Objects on S3 and on servers that speak its protocol: the functions of `store.files` for s3:// addresses.

Credentials come from the usual chain (environment, profile, instance role), endpoint and region from AWS_ENDPOINT_URL
and AWS_REGION, which `storage.*` in a config sets. Every request goes through `retries.calling`, the one place that
knows which failures pass: botocore and s3fs try once.
"""

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import cache, partial
from itertools import chain
from typing import Any, BinaryIO, cast

import s3fs

from syneg.errors import StoreError
from syneg.store.entry import Entry
from syneg.store.retries import Failure, calling

_PIECE = 16 * 2**20
"""Bytes of one piece of a large object, read or written. Every piece but the last is as large, as R2 wants it; S3
takes 10,000 of them, so an object has at most 156 GiB."""
_CONNECT_SECONDS = 10
_READ_SECONDS = 60


@cache
def _filesystem(endpoint: str | None, region: str | None) -> s3fs.S3FileSystem:
    config: dict[str, Any] = {
        "retries": {"total_max_attempts": 1},
        "connect_timeout": _CONNECT_SECONDS,
        "read_timeout": _READ_SECONDS,
    }
    if endpoint:
        # AWS's newer checksums come in a transfer encoding that other servers do not all know. What is read is checked
        # by the SHA-256 of its manifest either way.
        config |= {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
    system = s3fs.S3FileSystem(
        use_listings_cache=False,  # what another driver wrote has to be seen at once
        skip_instance_cache=True,  # nobody else's settings, and nobody else gets ours
        endpoint_url=endpoint,
        client_kwargs={"region_name": region} if region else {},
        config_kwargs=config,
    )
    system.retries = 1
    return system


def _system() -> s3fs.S3FileSystem:
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return _filesystem(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"), region)


def _request(path: str, method: str, **arguments: Any) -> Any:
    """The answer to one request of the S3 API, by botocore's name for it."""
    return calling(path, lambda: _system().call_s3(method, **arguments))


def _bucket_and_key(path: str) -> tuple[str, str]:
    bucket, _, key = path.removeprefix("s3://").partition("/")  # both whole, as `files` has seen to
    return bucket, key


def exists(path: str) -> bool:
    bucket, key = _bucket_and_key(path)
    if key and not key.endswith("/"):
        try:
            _request(path, "head_object", Bucket=bucket, Key=key)
            return True
        except FileNotFoundError:
            pass
    prefix = f"{key.rstrip('/')}/" if key else ""
    found = _request(path, "list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)
    return bool(found.get("Contents"))


def read(path: str) -> bytes:
    return calling(path, partial(_content, path))


def _content(path: str, **asked: str) -> bytes:
    """By the key as it is: s3fs's own functions take "?versionId=" in it for something else."""
    bucket, key = _bucket_and_key(path)
    system = _system()

    async def fetched() -> bytes:
        answer = await system._call_s3("get_object", Bucket=bucket, Key=key, **asked)
        async with answer["Body"] as body:  # gives the connection back, also after half a body
            return await body.read()

    return cast(bytes, s3fs.core.sync(system.loop, fetched))


def entry(path: str) -> Entry:
    bucket, key = _bucket_and_key(path)
    found = _request(path, "head_object", Bucket=bucket, Key=key)
    return _entry(path.rpartition("/")[2], found["ContentLength"], found)


def _entry(name: str, size: int, found: dict[str, Any]) -> Entry:
    return Entry(name, size, found["LastModified"].timestamp(), found["ETag"].strip('"'))


def open_read(path: str) -> BinaryIO:
    return io.BufferedReader(_Object(path, entry(path)), _PIECE)


class _Object(io.RawIOBase):
    """One version of an object, read in pieces, each of which is asked for again if it fails."""

    def __init__(self, path: str, found: Entry) -> None:
        super().__init__()
        self._path, self._size, self._version = path, found.bytes, found.version
        self._at = 0

    def readable(self) -> bool:
        return True

    def readall(self) -> bytes:
        # The inherited one asks for 8 KiB at a time.
        return b"".join(iter(lambda: self.read(_PIECE) or b"", b""))

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        content = calling(self._path, partial(_piece, self._path, self._at, length, self._version))
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)


def _piece(path: str, start: int, length: int, version: str) -> bytes:
    try:
        return _content(path, Range=f"bytes={start}-{start + length - 1}", IfMatch=f'"{version}"')
    except OSError as error:
        if Failure.of(error).is_precondition:
            raise StoreError(f"{path} was replaced while it was read. Run the same command again.") from error
        raise


def put_chunks(path: str, chunks: Iterable[bytes]) -> None:
    bucket, key = _bucket_and_key(path)
    pieces = _pieces(chunks)
    first, second = next(pieces, b""), next(pieces, None)
    if second is None:
        _request(path, "put_object", Bucket=bucket, Key=key, Body=first)
        return
    upload = _request(path, "create_multipart_upload", Bucket=bucket, Key=key)["UploadId"]
    at = {"Bucket": bucket, "Key": key, "UploadId": upload}
    with ExitStack() as unfinished:
        unfinished.callback(_request, path, "abort_multipart_upload", **at)
        parts = []
        for number, piece in enumerate(chain([first, second], pieces), 1):
            put = _request(path, "upload_part", PartNumber=number, Body=piece, **at)
            parts.append({"PartNumber": number, "ETag": put["ETag"]})
        _complete(path, at, parts)
        unfinished.pop_all()  # nothing to abort any more


def _complete(path: str, at: dict[str, str], parts: list[dict[str, Any]]) -> None:
    """Puts the pieces together. If the answer to a first attempt was lost, a second one finds no upload any more."""
    try:
        _request(path, "complete_multipart_upload", MultipartUpload={"Parts": parts}, **at)
    except FileNotFoundError:
        if not entry(path).version.endswith(f"-{len(parts)}"):
            raise


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of `_PIECE`; the last one may be smaller."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= _PIECE:
            yield bytes(held[:_PIECE])
            del held[:_PIECE]
    if held:
        yield bytes(held)


def create(path: str, content: bytes) -> bool:
    """A put with `If-None-Match: *`.

    If it is refused, what is there may be our own, put by an attempt whose answer was lost: then we were first.
    Counting our attempts would not tell: aiohttp repeats a PUT without a word when a connection that it kept is closed.
    """
    bucket, key = _bucket_and_key(path)
    try:
        _request(path, "put_object", Bucket=bucket, Key=key, Body=content, IfNoneMatch="*")
        return True
    except FileExistsError:
        return read(path) == content


def entries_below(folder: str) -> Iterator[Entry]:
    bucket, key = _bucket_and_key(folder)
    prefix = f"{key.rstrip('/')}/" if key.rstrip("/") else ""
    entries, more = [], {}
    while more is not None:
        page = _request(folder, "list_objects_v2", Bucket=bucket, Prefix=prefix, **more)
        for found in page.get("Contents", ()):
            name = found["Key"].removeprefix(prefix)
            if name and not name.endswith("/"):  # markers that some clients put for folders
                entries.append(_entry(name, found["Size"], found))
        token = page.get("NextContinuationToken")
        more = {"ContinuationToken": token} if page.get("IsTruncated") and token else None
    return iter(sorted(entries, key=lambda entry: entry.name))


def delete(path: str) -> None:
    bucket, key = _bucket_and_key(path)
    with suppress(FileNotFoundError):  # AWS S3 says nothing of an object that is not there; others may
        _request(path, "delete_object", Bucket=bucket, Key=key)
