"""Sets of row keys in 16 bytes each, so that a driver holds those of ten million rows in 160 MB."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

_DIGEST = np.dtype("S16")


def digests(keys: Iterable[Any]) -> np.ndarray:
    """S16 [N]: 128 bits a key, of which two among 10^10 fall together with a chance of 10^-19. None is no key."""
    hashed = [hashlib.blake2b(str(key).encode("utf-8", "surrogatepass"), digest_size=16).digest() for key in keys]
    return np.frombuffer(b"".join(hashed), _DIGEST)


class KeySet:
    """Immutable."""

    def __init__(self, found: np.ndarray | None = None) -> None:
        self._sorted = np.unique(np.zeros(0, _DIGEST) if found is None else found)

    @classmethod
    def of(cls, keys: Iterable[str]) -> "KeySet":
        return cls(digests(keys))

    def __len__(self) -> int:
        return len(self._sorted)

    def __contains__(self, key: str) -> bool:
        return bool(self._holds(digests([key]))[0])

    def mask(self, keys: pa.Array | pa.ChunkedArray) -> np.ndarray:
        """bool [N]: which of `keys` are in the set."""
        return self._holds(digests(keys.to_pylist()))

    def __or__(self, other: "KeySet") -> "KeySet":
        return KeySet(np.concatenate([self._sorted, other._sorted]))

    def __and__(self, other: "KeySet") -> "KeySet":
        return KeySet(self._sorted[other._holds(self._sorted)])

    def __sub__(self, other: "KeySet") -> "KeySet":
        return KeySet(self._sorted[~other._holds(self._sorted)])

    def _holds(self, asked: np.ndarray) -> np.ndarray:
        if not len(self._sorted):
            return np.zeros(len(asked), bool)
        places = np.minimum(np.searchsorted(self._sorted, asked), len(self._sorted) - 1)
        return self._sorted[places] == asked
