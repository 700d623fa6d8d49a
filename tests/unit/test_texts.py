"""Words of any script, and the terms that BM25 counts."""

import re

from hypothesis import given
from hypothesis import strategies as st

from syneg.texts import TERM, first_words, in_terms, storable, words

BM25S = r"(?u)\b\w\w+\b"  # the terms that bm25s takes by itself


def terms(text: str) -> list[str]:
    return re.findall(TERM, in_terms(text))


def test_what_cannot_be_stored_is_replaced() -> None:
    assert storable("a\0b\ud800\udfffc \n\t\x01\ufffd😀") == "a\ufffdb\ufffd\ufffdc \n\t\x01\ufffd😀"


def test_words_are_normalised_and_without_punctuation() -> None:
    assert words("self.Name_1 = f(x)") == ["self", "name_1", "f", "x"]
    assert words("Café, \uff21\uff22 — naïve") == ["café", "ab", "naïve"]


def test_a_script_without_spaces_has_a_word_a_character() -> None:
    assert words("二つの word。") == ["二", "つ", "の", "word"]
    assert words("กรุงเทพ") == ["ก", "รุ", "ง", "เ", "ท", "พ"]


def test_signs_belong_to_their_letters() -> None:
    assert words("हिन्दी भारत की भाषा है") == ["हिन्दी", "भारत", "की", "भाषा", "है"]
    assert terms("हिन्दी भारत की भाषा है") == ["हिन्दी", "भारत", "की", "भाषा", "है"]
    assert words("שָׁלוֹם") == ["שָׁלוֹם"]


def test_two_neighbouring_characters_are_a_term() -> None:
    assert terms("中国的首都 is 北京。") == ["中国", "国的", "的首", "首都", "is", "北京"]
    assert set(terms("北京是中国的首都")) >= {"北京", "中国", "首都"}
    assert "รุง" in terms("กรุงเทพ")


@given(st.text(st.characters(max_codepoint=0x24F), max_size=60))
def test_of_latin_texts_the_terms_are_those_of_bm25s(text: str) -> None:
    assert in_terms(text) == text
    assert terms(text) == re.findall(BM25S, text)


def test_first_words_keeps_white_space() -> None:
    code = "def f(x):\n    return x\n\n"
    assert first_words(code, 3) == "def f(x):\n    return"
    assert first_words(code, 4) == "def f(x):\n    return x"
    assert first_words(code, 5) == code
    assert first_words("", 5) == ""
    assert first_words("中国的首都", 2) == "中国"
