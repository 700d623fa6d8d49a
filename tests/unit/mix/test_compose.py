"""What goes into one instance."""

from hypothesis import given
from hypothesis import strategies as st

from syneg.mix.compose import (
    Composed,
    Kind,
    Negative,
    Text,
    Wanted,
    borrow,
    compose,
    drawn,
    keys_of,
    take_turns,
    wanted,
)
from syneg.schemas import SYNTHETIC_SOURCE
from syneg.settings.mix import MixConfig, Strategy

HYBRID = Wanted(1, 2, replaceable=True)


def synthetic(name: str, text: str | None = None) -> Negative:
    return Negative(name, Text("", text or f"text of {name}"), SYNTHETIC_SOURCE)


def retrieved(name: str, rank: int, text: str | None = None, title: str = "") -> Negative:
    return Negative(name, Text(title, text or f"text of {name}"), "bm25", 1.0, rank)


def ids(negatives: list[Negative]) -> list[str]:
    return [negative.id for negative in negatives]


def composed(written: list[Negative], found: list[Negative], want: Wanted = HYBRID) -> Composed:
    return compose(Text("Its title", "gold text").keys, written, found, want)


def test_one_synthetic_and_the_first_retrieved() -> None:
    mined = [retrieved("a", 0), retrieved("b", 1), retrieved("c", 2)]
    assert composed([synthetic("s")], mined) == Composed([synthetic("s"), mined[0], mined[1]], 0, {})


def test_a_missing_synthetic_one_is_replaced_where_the_strategy_says_so() -> None:
    mined = [retrieved("a", 0), retrieved("b", 1), retrieved("c", 2)]
    assert composed([], mined) == Composed(mined, 1, {})
    assert composed([], mined, Wanted(1, 2)) == Composed(mined[:2], 0, {"synthetic": 1})


def test_too_few_is_short_not_filled_up() -> None:
    found = composed([synthetic("s")], [retrieved("a", 0)])
    assert ids(found.negatives) == ["s", "a"]
    assert found.missing == {"retrieved": 1}
    assert composed([], [retrieved("a", 0)]).missing == {"synthetic": 1, "retrieved": 1}


def test_no_positive_and_no_text_twice() -> None:
    mined = [
        retrieved("copy of gold", 0, text="GOLD  text"),
        retrieved("a", 1, text="same"),
        retrieved("b", 2, text="Same "),
        retrieved("under another title", 3, text="same", title="Mirrored"),
        retrieved("d", 4),
    ]
    for copy in ("Gold text", "its title gold text"):
        assert ids(composed([synthetic("s", copy)], mined).negatives) == ["a", "d"]


def test_samplers_take_turns() -> None:
    queues = [["d0", "d1"], ["b0", "b1", "b2", "b3"]]
    assert list(take_turns(queues, [1, 1], 0)) == ["d0", "b0", "d1", "b1", "b2", "b3"]
    assert list(take_turns(queues, [1, 1], 1)) == ["b0", "d0", "b1", "d1", "b2", "b3"]
    assert list(take_turns(queues, [2, 1], 0)) == ["d0", "d1", "b0", "b1", "b2", "b3"]
    assert list(take_turns(queues, [1, 2], 2)) == ["b0", "d0", "b1", "b2", "d1", "b3"]
    assert list(take_turns([[], []], [1, 1], 1)) == []


PAIRS = [(f"q{row}", f"p{row}") for row in range(2000)]


def asked(strategy: Strategy, **settings: object) -> list[Wanted]:
    mix = MixConfig.model_validate({"strategy": strategy, "retrieved_per_instance": 3} | settings)
    return [wanted(mix, query, positive, written=4) for query, positive in PAIRS]


def test_every_strategy_asks_for_the_same_number() -> None:
    for strategy in ("hybrid", "direct", "synthetic_only", "retrieved_only"):
        for share in (0.0, 0.3, 1.0):
            assert {want.synthetic + want.retrieved for want in asked(strategy, synthetic_share=share)} == {4}
    assert set(asked("in_batch_only")) == {Wanted(0, 0)}


def test_hybrid_and_direct_hold_as_many_synthetic_ones() -> None:
    for share in (0.4, 1.0):
        hybrid = [want.synthetic for want in asked("hybrid", synthetic_share=share)]
        direct = [want.synthetic for want in asked("direct", synthetic_share=share)]
        assert set(hybrid) <= {0, 1}
        assert set(direct) == {0, 4}, "one kind an instance"
        expected = share * len(PAIRS)
        assert abs(sum(hybrid) - expected) < 0.05 * len(PAIRS)
        assert abs(sum(direct) - expected) < 0.15 * len(PAIRS)  # 4 at a time: a wider draw


def test_a_larger_share_only_adds_pairs() -> None:
    few, many = (asked("hybrid", synthetic_share=share) for share in (0.3, 0.6))
    assert all(less.synthetic <= more.synthetic for less, more in zip(few, many, strict=True))
    assert few != asked("hybrid", synthetic_share=0.3, seed=1)


def test_direct_has_nothing_synthetic_where_there_is_too_little() -> None:
    mix = MixConfig(strategy="direct", synthetic_per_instance=4, retrieved_per_instance=0)
    assert wanted(mix, "q", "p", written=4) == Wanted(4, 0)
    for written in (0, 3):
        want = wanted(mix, "q", "p", written)
        assert want == Wanted(0, 4, given=4)
        assert composed([], [retrieved(str(row), row) for row in range(9)], want).replaced == 4
    for on_short in ("keep", "borrow"):
        assert wanted(mix.model_copy(update={"on_short": on_short}), "q", "p", written=1) == Wanted(4, 0)


def test_borrowed_ones_are_of_the_missing_kind_and_new() -> None:
    short = composed([synthetic("s")], [retrieved("a", 0)], Wanted(3, 1))
    pool = [synthetic("gold", "Gold Text"), synthetic("again", "text of S"), synthetic("t"), synthetic("u")]
    lent: dict[Kind, list[Negative]] = {"synthetic": pool}
    never = {"gold text"}
    assert ids(borrow(short, never, lent).negatives) == ["s", "t", "u", "a"]
    assert borrow(short, never, {"synthetic": pool[:3]}).missing == {"synthetic": 1}


def test_what_is_drawn_depends_on_the_key_alone() -> None:
    pool = [synthetic(str(row)) for row in range(500)]
    first = [ids(list(drawn(pool, 2, (0, key)))) for key in ("q0", "q1", "q0")]
    assert first[0] == first[2] != first[1]
    assert len(first[0]) == len(set(first[0])) == 40


TEXT = st.sampled_from(["gold", "Gold ", "", "a", "b", "c", "d"])


@given(st.lists(TEXT, max_size=3), st.lists(TEXT, max_size=8), st.lists(TEXT, min_size=1, max_size=3))
def test_never_a_positive_an_empty_text_or_a_duplicate(written: list[str], found: list[str], gold: list[str]) -> None:
    negatives = compose(
        keys_of(Text("", text) for text in gold),
        [Negative(f"s{row}", Text("", text), SYNTHETIC_SOURCE) for row, text in enumerate(written)],
        [Negative(f"r{row}", Text("", text), "bm25", 1.0, row) for row, text in enumerate(found)],
        HYBRID,
    ).negatives
    seen = {text.strip().casefold() for text in gold} | {""}
    expected: list[str] = []
    for source, limit in ((written, 1), (found, 3)):
        for text in (text.strip().casefold() for text in source):
            if len(expected) < limit and text not in seen:
                seen.add(text)
                expected.append(text)
    assert [negative.text.body.strip().casefold() for negative in negatives] == expected
