"""Sets of keys, compact."""

import pickle

import pyarrow as pa

from syneg.keyset import KeySet, digests


def test_holds_what_it_was_given() -> None:
    keys = KeySet.of(f"key {number}" for number in range(1000))
    assert len(keys) == 1000
    assert all(f"key {number}" in keys for number in range(1000))
    assert not any(f"key {number}" in keys for number in range(1000, 2000))
    assert keys.mask(pa.chunked_array([["key 1", "x"], ["key 999", ""]])).tolist() == [True, False, True, False]
    assert "key 1" not in keys.without(digests(["key 1"]))
    assert "key 2" in keys.without(digests(["key 1"]))


def test_nothing_is_in_an_empty_one() -> None:
    assert "" not in KeySet()
    assert KeySet().mask(pa.array(["a"])).tolist() == [False]
    assert KeySet.of(["a", "a"]).mask(pa.array([], pa.string())).tolist() == []


def test_takes_sixteen_bytes_a_key() -> None:
    keys = KeySet.of(str(number) for number in range(100_000))
    assert len(pickle.dumps(keys)) < 17 * 100_000
