"""One object in a listing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """`name` is relative to the folder that was listed."""

    name: str
    bytes: int
    modified: float  # Unix seconds
    version: str  # other content under the same name has another one: the ETag, or times and inode
