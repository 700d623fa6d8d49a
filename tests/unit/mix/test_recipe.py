"""What goes into one instance."""

from hypothesis import given
from hypothesis import strategies as st

from syneg.mix.recipe import SYNTHETIC, Negative, compose, take_turns
from syneg.settings.mine import SamplerConfig
from syneg.settings.mix import MixConfig

MIX = MixConfig(synthetic_per_instance=1, retrieved_per_instance=2)


def synthetic(name: str, text: str | None = None) -> Negative:
    return Negative(name, text or f"text of {name}", SYNTHETIC, None, None)


def retrieved(name: str, rank: int, sampler: str = "bm25", text: str | None = None) -> Negative:
    return Negative(name, text or f"text of {name}", sampler, 1.0, rank)


def ids(negatives: list[Negative]) -> list[str]:
    return [negative.id for negative in negatives]


def test_one_synthetic_and_the_first_retrieved() -> None:
    mined = [retrieved("a", 0), retrieved("b", 1), retrieved("c", 2)]
    assert ids(compose(["gold"], [synthetic("s")], mined, MIX)) == ["s", "a", "b"]


def test_a_missing_synthetic_one_is_replaced() -> None:
    mined = [retrieved("a", 0), retrieved("b", 1), retrieved("c", 2)]
    assert ids(compose(["gold"], [], mined, MIX)) == ["a", "b", "c"]


def test_too_few_is_short_not_filled_up() -> None:
    assert ids(compose(["gold"], [synthetic("s")], [retrieved("a", 0)], MIX)) == ["s", "a"]


def test_no_positive_and_no_text_twice() -> None:
    mined = [
        retrieved("copy of gold", 0, text="GOLD  text"),
        retrieved("a", 1, text="same"),
        retrieved("b", 2, text="Same "),
        retrieved("c", 3),
    ]
    assert ids(compose(["gold text"], [synthetic("s", "Gold text")], mined, MIX)) == ["a", "c"]


def test_samplers_take_turns() -> None:
    mined = {
        "dense": [retrieved("d1", 1, "dense"), retrieved("d0", 0, "dense")],
        "bm25": [retrieved("b0", 0), retrieved("b1", 1), retrieved("b2", 2)],
    }
    samplers = {"dense": SamplerConfig(), "bm25": SamplerConfig()}
    assert ids(list(take_turns(mined, samplers, (0, "q")))) == ["d0", "b0", "d1", "b1", "b2"]


def test_uniform_draws_depend_on_the_key_alone() -> None:
    mined = [retrieved(str(rank), rank) for rank in range(50)]
    samplers = {"bm25": SamplerConfig(pick="uniform")}
    draws = {key: ids(list(take_turns({"bm25": mined}, samplers, (0, key)))) for key in ("q0", "q1")}
    assert draws["q0"] == ids(list(take_turns({"bm25": mined[::-1]}, samplers, (0, "q0"))))
    assert draws["q0"] != draws["q1"]
    assert sorted(draws["q0"]) == sorted(ids(mined))


TEXT = st.sampled_from(["gold", "Gold ", "", "a", "b", "c", "d"])


@given(st.lists(TEXT, max_size=3), st.lists(TEXT, max_size=8), st.lists(TEXT, min_size=1, max_size=3))
def test_never_a_positive_an_empty_text_or_a_duplicate(written: list[str], found: list[str], gold: list[str]) -> None:
    negatives = compose(
        gold,
        [Negative(f"s{row}", text, SYNTHETIC, None, None) for row, text in enumerate(written)],
        [Negative(f"r{row}", text, "bm25", 1.0, row) for row, text in enumerate(found)],
        MIX,
    )
    seen = {text.strip().casefold() for text in gold} | {""}
    expected: list[str] = []
    for source, limit in ((written, 1), (found, 3)):
        for text in (text.strip().casefold() for text in source):
            if len(expected) < limit and text not in seen:
                seen.add(text)
                expected.append(text)
    assert [negative.text.strip().casefold() for negative in negatives] == expected
