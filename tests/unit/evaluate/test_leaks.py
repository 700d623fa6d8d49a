"""Planted leaks are found, and what merely shares words is not."""

import random

from syneg.evaluate.leaks import Text, find

WORDS = [f"word{number}" for number in range(400)]


def sentence(draw: random.Random, length: int) -> str:
    return " ".join(draw.choices(WORDS, k=length))


def test_planted_leaks_are_found_among_many_texts() -> None:
    draw = random.Random(0)
    test = [Text("test_query", f"q{number}", sentence(draw, 12)) for number in range(50)]
    test += [Text("test_positive", f"p{number}", sentence(draw, 150)) for number in range(50)]
    training = [Text("positive", f"t{number}", sentence(draw, 150)) for number in range(300)]
    edited = test[60].text.replace(test[60].text.split()[80], "changed")
    planted = [
        Text("query", "exact", test[3].text),
        Text("query", "respelt", f"  {test[4].text.upper()} "),
        Text("synthetic", "edited", edited),
    ]
    found = find(test, [*training, *planted], 0.8).to_pylist()
    assert {(row["test_id"], row["training_role"], row["training_id"]) for row in found} == {
        ("q3", "query", "exact"),
        ("q4", "query", "respelt"),
        ("p10", "synthetic", "edited"),
    }
    similarity = {row["training_id"]: row["similarity"] for row in found}
    assert similarity["exact"] == similarity["respelt"] == 1
    assert 0.8 <= similarity["edited"] < 1


def test_a_query_inside_a_longer_text_is_no_near_duplicate() -> None:
    query = "the effect of cold on bees in winter"
    assert (
        find(
            [Text("test_query", "q", query)],
            [Text("positive", "p", f"{query} was studied for years, and the bees were many")],
            0.8,
        ).num_rows
        == 0
    )


def test_short_and_empty_texts() -> None:
    test = [Text("test_query", "short", "red"), Text("test_query", "empty", "")]
    training = [Text("query", "same", "Red"), Text("query", "nothing", " "), Text("query", "other", "blue")]
    assert [row["training_id"] for row in find(test, training, 0.8).to_pylist()] == ["same"]


def test_a_text_without_a_word_is_found_where_it_is_the_same() -> None:
    test = [Text("test_query", "q1", "!!!"), Text("test_query", "q2", "?")]
    assert [row["test_id"] for row in find(test, [Text("query", "t1", " !!! ")], 0.8).to_pylist()] == ["q1"]


def test_a_text_without_spaces_is_compared_by_its_characters() -> None:
    test = [Text("test_query", "q1", "中国的首都是哪一座城市"), Text("test_query", "q2", "猫为什么喜欢睡觉")]
    (found,) = find(test, [Text("query", "t1", "中国的首都是哪一座城市。")], 0.8).to_pylist()
    assert (found["test_id"], found["similarity"]) == ("q1", 1.0)
