"""Sets of keys, compact."""

import pickle

import pyarrow as pa

from syneg.keyset import KeySet


def test_holds_what_it_was_given() -> None:
    keys = KeySet.of(f"key {number}" for number in range(1000))
    assert len(keys) == 1000
    assert all(f"key {number}" in keys for number in range(1000))
    assert not any(f"key {number}" in keys for number in range(1000, 2000))
    assert keys.mask(pa.chunked_array([["key 1", "x"], ["key 999", ""]])).tolist() == [True, False, True, False]


def test_sets_are_joined_met_and_taken_away() -> None:
    one, other = KeySet.of("abc"), KeySet.of("bcd")
    for made, expected in ((one | other, "abcd"), (one & other, "bc"), (one - other, "a"), (one - KeySet(), "abc")):
        assert [key for key in "abcde" if key in made] == list(expected)
        assert len(made) == len(expected)


def test_nothing_is_in_an_empty_one() -> None:
    assert "" not in KeySet()
    assert KeySet().mask(pa.array(["a"])).tolist() == [False]
    assert KeySet.of(["a", "a"]).mask(pa.array([], pa.string())).tolist() == []


def test_takes_sixteen_bytes_a_key() -> None:
    keys = KeySet.of(str(number) for number in range(100_000))
    assert len(pickle.dumps(keys)) < 17 * 100_000
