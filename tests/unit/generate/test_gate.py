import pytest
from hypothesis import given
from hypothesis import strategies as st

from syneg.generate.gate import asked_ratio, covered, reject_reason
from syneg.generate.gating import distance_reason
from syneg.generate.prompts import fence
from syneg.rejection import REASONS
from syneg.settings.generate import GateConfig

QUERY = "Return the length of the longest common prefix of two strings."
POSITIVE = (
    "The function walks over both strings at once, compares them character by character and stops as soon as they "
    "differ or one of them ends; the number of steps it took until then is what the caller gets back from it."
)
NEGATIVE = (
    "Two strings are glued together here with a separator between them, which is left out where either is empty. "
    "White space at the ends is stripped first, and the result is never longer than the given limit."
)

GERMAN = (
    "Zwei Zeichenketten werden hier mit einem Trennzeichen verbunden, das entfällt, wenn eine von beiden leer ist. "
    "Leerraum an den Enden wird vorher entfernt, und das Ergebnis ist nie länger als die Grenze."
)
CHINESE = "这里用分隔符把两个字符串连接起来如果其中一个为空则省略分隔符先去掉两端的空白结果永远不会超过给定的长度限制"


def reason(negative: str, query: str = QUERY, positive: str = POSITIVE, gate: GateConfig | None = None) -> str | None:
    return reject_reason(negative, query, positive, gate or GateConfig())


def test_a_good_negative_passes() -> None:
    assert reason(NEGATIVE) is None


@pytest.mark.parametrize(
    ("expected", "negative"),
    [
        ("empty", ""),
        ("empty", " \n\t"),
        ("empty", "... --- !!!"),
        ("too_short", "Four words are few."),
        ("too_short", "Seven words are fewer than a fifth."),
        ("too_long", " ".join(f"word{number}" for number in range(150))),
        ("garbled", "[7f3a](https://example.org/x/y) {Domain} | [1], [2], {strings} <b>joined</b>"),
        ("garbled", f"{NEGATIVE} Abbabacadababyefraidomaterelaxableblecuecreamtomangozuplatanteli"),
        ("meta_text", f"This hard negative is about strings. {NEGATIVE}"),
        ("meta_text", f"{NEGATIVE} It does not answer the user_query."),
        ("meta_text", f"As an AI language model, I cannot do this. {NEGATIVE}"),
        ("meta_text", f"I'm sorry, but that is not possible. {NEGATIVE}"),
        ("meta_text", f"I'm sorry. I can't help with that. {NEGATIVE}"),
        ("meta_text", f"I am so sorry, but I have to stop here. {NEGATIVE}"),
        ("meta_text", f"Sorry, it is not possible to write about it. {NEGATIVE}"),
        ("meta_text", f"I can\u2019t assist with that. {NEGATIVE}"),
        ("meta_text", f"I cannot in good conscience fulfill this. {NEGATIVE}"),
        ("meta_text", f"I am not able to comply with the request. {NEGATIVE}"),
        ("meta_text", f"I won't do that. {NEGATIVE}"),
        ("meta_text", f"Sure! {NEGATIVE}"),
        ("meta_text", f"Of course. {NEGATIVE}"),
        ("meta_text", f"Certainly, here\u2019s what you asked for: {NEGATIVE}"),
        ("meta_text", f"Sure, I can help. {NEGATIVE}"),
        ("meta_text", f"Of course, this document is about strings. {NEGATIVE}"),
        ("meta_text", f"Here is a new document: {NEGATIVE}"),
        ("meta_text", f"[Task Definition] {NEGATIVE}"),
        ("meta_text", f"{fence(0, 'key')} {NEGATIVE}"),
        ("meta_text", f"Text between the marks. {NEGATIVE}"),
        ("meta_text", f"{NEGATIVE} This is what the user's question was about."),
        ("meta_text", f"The provided document lacks it. {NEGATIVE}"),
        ("repetitive", " ".join(["and so on and on"] * 12)),
        ("repetitive", f"{NEGATIVE} {'the end of it all is near ' * 20}"),
        ("other_language", GERMAN),
        ("other_language", CHINESE),
        ("copies_query", QUERY),
        ("copies_query", f"{QUERY} {QUERY.upper()}"),
        ("copies_positive", POSITIVE),
        ("copies_positive", POSITIVE.replace(",", "").upper()),
        ("copies_positive", " ".join(POSITIVE.split()[5:25])),
        ("copies_positive", f"{POSITIVE} And that is all there is to it."),
    ],
)
def test_a_bad_negative_is_rejected_for_its_reason(expected: str, negative: str) -> None:
    assert expected in REASONS["synthetic"]
    assert reason(negative) == expected


@pytest.mark.parametrize(
    ("not_for", "negative"),
    [
        ("empty", "一些文字也是文字没有空格也算字数"),
        ("garbled", f"{NEGATIVE} See [1], [2] and <https://example.org/strings>."),
        ("garbled", f"Dichlorodiphenyltrichloroethane is no string. {NEGATIVE}"),
        ("garbled", CHINESE * 3),
        ("too_short", " ".join(NEGATIVE.split()[:12])),
        ("too_long", " ".join(f"word{number}" for number in range(100))),
        ("meta_text", f"Two sorry strings met an assistant. {NEGATIVE}"),
        ("meta_text", f"Surely this holds. {NEGATIVE}"),
        ("meta_text", f"I can't get no satisfaction is a song by the Rolling Stones. {NEGATIVE}"),
        ("meta_text", f"I Won't Back Down was written by Tom Petty and Jeff Lynne. {NEGATIVE}"),
        ("meta_text", f"I Can't Help Myself is a song that the Four Tops recorded. {NEGATIVE}"),
        ("meta_text", f"I'm Sorry, I Love You is a television drama. {NEGATIVE}"),
        ("meta_text", f"Sorry, the musical by Tim Rice, opened in the autumn. {NEGATIVE}"),
        ("meta_text", f"Sorry! is a board game of four colours. {NEGATIVE}"),
        ("meta_text", f"Certainly, the fire brigades of London grew. {NEGATIVE}"),
        ("meta_text", f"Of course, many towns provide water and create parks. {NEGATIVE}"),
        ("meta_text", f"Here is the pattern that all strings follow. {NEGATIVE}"),
        ("repetitive", f"{NEGATIVE} {NEGATIVE}"),
        ("repetitive", "One two three. One two three. One two three."),
        ("other_language", "def f(first, second): return [a for a, b in zip(first, second) if a == b]"),
        ("other_language", f"Wie man sagt: {NEGATIVE}"),
        ("copies_query", f"{QUERY} {NEGATIVE}"),
        ("copies_query", " ".join(reversed(QUERY.split()))),
        ("copies_positive", f"{' '.join(POSITIVE.split()[:14])} {NEGATIVE}"),
        ("copies_positive", " ".join(reversed(POSITIVE.split()))),
    ],
)
def test_its_neighbour_is_not(not_for: str, negative: str) -> None:
    assert reason(negative) != not_for


def test_what_the_example_speaks_of_is_no_meta_text() -> None:
    negative = f"Hard negatives are mined by rank. {NEGATIVE}"
    assert reason(negative) == "meta_text"
    assert reason(negative, query="How are hard negatives mined?") is None


def test_code_beside_code_is_not_garbled() -> None:
    code = "def joined(*parts: str) -> str: return '/'.join([part for part in parts if part]) or f'{parts[0]}'"
    assert reason(code) == "garbled"
    assert reason(code, positive="def split(path): return [part for part in path.split('/') if part] + ['#']") is None


def test_the_length_asked_for_is_that_of_the_positive() -> None:
    negative = f"{NEGATIVE} {NEGATIVE[::-1]}"
    assert reason(negative, positive=" ".join(POSITIVE.split()[:21])) == "too_long"
    assert reason(negative, positive=" ".join(POSITIVE.split()[:21]), gate=GateConfig(max_length_ratio=4.0)) is None
    assert reason(NEGATIVE, positive="return None") is None  # one sentence may always be written


texts = st.lists(st.sampled_from("abc"), max_size=12)


@given(texts, texts, st.integers(1, 5))
def test_covered_against_its_definition(text: list[str], source: list[str], run: int) -> None:
    run = min(run, len(text))
    inside = set()
    for start in range(len(text) - run + 1):
        for place in range(len(source) - run + 1):
            if run and text[start : start + run] == source[place : place + run]:
                inside.update(range(start, start + run))
    assert covered(text, source, run) == pytest.approx(len(inside) / len(text) if text else 0.0)


@given(st.text(), st.text(), st.text())
def test_any_text_gets_a_verdict(negative: str, query: str, positive: str) -> None:
    assert reason(negative, query, positive) in (None, *REASONS["synthetic"])


@pytest.mark.parametrize(
    ("length", "ratio"),
    [("approximately the same as", 1.0), ("", 1.0), ("slightly longer than", 1.2), ("half as long as", 0.5)],
)
def test_the_length_asked_for_is_read_from_its_phrase(length: str, ratio: float) -> None:
    assert asked_ratio(length) == ratio


def test_a_negative_of_half_the_length_may_be_shorter() -> None:
    short = " ".join(NEGATIVE.split()[:6])
    assert reject_reason(short, QUERY, POSITIVE, GateConfig()) == "too_short"
    assert reject_reason(short, QUERY, POSITIVE, GateConfig(), "half as long as") is None


@pytest.mark.parametrize(
    ("negative", "positive", "expected"),
    [(0.1, 0.8, "off_topic"), (0.2, 0.8, None), (0.9, 0.8, "too_close"), (0.75, 0.8, None), (0.77, 0.8, "too_close")],
)
def test_neither_too_far_nor_too_close(negative: float, positive: float, expected: str | None) -> None:
    assert (
        distance_reason(negative, positive, GateConfig(min_query_similarity=0.15, max_similarity_ratio=0.95))
        == expected
    )
    assert distance_reason(negative, positive, GateConfig()) is None


def test_a_ratio_is_a_margin_below_a_negative_cosine_too() -> None:
    assert distance_reason(-0.205, -0.2, GateConfig(max_similarity_ratio=0.95)) == "too_close"
    assert distance_reason(-0.215, -0.2, GateConfig(max_similarity_ratio=0.95)) is None


def test_the_example_of_the_style_may_not_be_copied() -> None:
    def judged(negative: str) -> str | None:
        return reject_reason(negative, QUERY, POSITIVE, GateConfig(), example=example)

    example = "Cuts a list into runs of equal length, of which the last one is shorter where the length does not fit."
    assert judged(example) == "copies_example"
    assert judged(f"{example} Nothing else is done with it.") == "copies_example"
    assert judged(NEGATIVE) is None
    assert judged("Cuts a text into runs of equal width, of which the first is padded where it is too short.") is None
    assert judged(f"Much like the style document. {NEGATIVE}") == "meta_text"
