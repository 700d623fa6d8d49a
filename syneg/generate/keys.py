"""Hashes that name rows, order them and seed their draws: the same on every machine, in every block and order."""

import hashlib
import json

_SEED_BITS = 31  # fits every engine's seed


def digest(*parts: str | int | float) -> str:
    """SHA-256 of `parts`, whose borders count: ("ab", "c") and ("a", "bc") differ."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def request_key(query_id: str, positive_id: str, sample: int) -> str:
    """What seeds every draw of one request."""
    return json.dumps([query_id, positive_id, sample])


def sampling_seed(seed: int, key: str) -> int:
    return int(digest("sampling", seed, key), 16) % 2**_SEED_BITS
