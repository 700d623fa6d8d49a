"""What the filters know of every passage: two hashes of its text, made once, part by part."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from syneg.ids import in_one, order_of
from syneg.passages import COLUMNS, bodies_of
from syneg.stage import Source
from syneg.texts import body_of, words_of_normalized


@dataclass(frozen=True)
class Passages:
    """P passages in the order of their ids, so that a row number means the same however the table was cut."""

    ids: pa.Array  # string [P]
    keys: np.ndarray  # uint64 [P]: equal for equal texts
    simhashes: np.ndarray  # uint64 [P]: differ in few bits for nearly equal texts

    @classmethod
    def read(cls, part: Source, with_simhashes: bool = True) -> "Passages":
        """Of one part, in the order of its rows. SimHashes, which take most of the time, are 0 where nobody asks."""
        ids: list[pa.ChunkedArray] = []
        keys: list[bytes] = []
        simhashes: list[int] = []
        for block in part.blocks(COLUMNS):
            ids.append(block["passage_id"])
            bodies = bodies_of(block)
            keys += map(_digest, bodies)
            simhashes += map(simhash, bodies) if with_simhashes else [0] * len(bodies)
        return cls(in_one(ids), _numbers(keys), np.array(simhashes, np.uint64))

    @classmethod
    def joined(cls, *parts: "Passages") -> "Passages":
        ids = in_one(part.ids for part in parts)
        order = np.argsort(order_of(ids))
        keys, simhashes = (np.concatenate([getattr(part, name) for part in parts]) for name in ("keys", "simhashes"))
        return cls(ids.take(pa.array(order)), keys[order], simhashes[order])


def passage_key(title: str, text: str) -> int:
    """Equal for passages with the same normalised text."""
    return int(_numbers([_digest(body_of(title, text))])[0])


def query_keys(texts: Sequence[str]) -> np.ndarray:
    """uint64 [N]: each equal to the key of a passage of the same normalised text."""
    return _numbers([_digest(body_of("", text)) for text in texts])


def simhash(body: str) -> int:
    """64 bits of which each says where most words of a normalised text fall (Charikar, STOC 2002).

    Each different word counts once: of long texts the frequent ones would decide alone. Of abstracts a changed word
    turns 2 or 3 bits, one in ten changed 9 or 10; unrelated texts differ in 28, at 10,000 words in 19.
    """
    words = set(words_of_normalized(body))
    hashes = np.frombuffer(b"".join(map(_word, words)), np.uint8)
    votes = np.unpackbits(hashes).reshape(-1, 64).sum(axis=0, dtype=np.int64)
    return int.from_bytes(np.packbits(2 * votes > len(words)).tobytes(), "big")


@lru_cache(maxsize=1 << 18)
def _word(word: str) -> bytes:
    return _digest(word)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _numbers(digests: Sequence[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(digests), "<u8")


EMPTY = passage_key("", "")
