"""What an address looks like: a path on this machine, or s3://bucket/prefix. Imports nothing, for bare machines too."""

import re

# "s3:/bucket" and "gs://bucket" name no path that anybody means; "./s3:/bucket" does. One letter is no scheme.
_MEANT_FOR_ELSEWHERE = re.compile(r"s3:|[A-Za-z][A-Za-z0-9+.-]+:/|.*://", re.DOTALL)
_IN_OBJECT_STORAGE = re.compile(r"s3://[^/@\s]+(/.*)?", re.DOTALL)


def flaw(address: str) -> str | None:
    """What is wrong with `address`: half an address in object storage, or one of a kind that is not known here."""
    if not _MEANT_FOR_ELSEWHERE.match(address) or _IN_OBJECT_STORAGE.fullmatch(address):
        return None
    return (
        f"{address!r} is no address that is known here: expected s3://bucket/prefix, and no credentials in it, or a "
        "path on this machine"
    )
