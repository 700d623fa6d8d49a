"""What an address looks like: a path on this machine, or s3://bucket/prefix. The standard library alone, for bare
machines too."""

import os
import re

# "s3:/bucket" and "gs://bucket" name no path that anybody means; "./s3:/bucket" does. One letter is no scheme.
_MEANT_FOR_ELSEWHERE = re.compile(r"s3:|[A-Za-z][A-Za-z0-9+.-]+:/|.*://", re.DOTALL)
_IN_OBJECT_STORAGE = re.compile(r"s3://[^/@\s]+(/.*)?", re.DOTALL)


def expanded(address: str) -> str:
    """`address` with the home folder that a leading ~ or ~user stands for, as a shell has it. Left as it is where there
    is none."""
    return os.path.expanduser(address)


def flaw(address: str) -> str | None:
    """What is wrong with `address`: half an address in object storage, one of a kind that is not known here, or a home
    folder that is not known."""
    if address.startswith("~/") and expanded(address) == address:
        return f"{address!r} is in your home folder, but which that is is not known: HOME is not set. Give a full path"
    if not _MEANT_FOR_ELSEWHERE.match(address) or _IN_OBJECT_STORAGE.fullmatch(address):
        return None
    return (
        f"{address!r} is no address that is known here: expected s3://bucket/prefix, and no credentials in it, or a "
        "path on this machine"
    )
