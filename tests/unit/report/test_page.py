"""The page as text: whole, escaped, and without a need for anything outside it."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from syneg.report import page, publish
from tests.unit.report import sample

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Outline(HTMLParser):
    """Elements, attributes and text of a page; fails where elements are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.elements)


@pytest.fixture(scope="module")
def outline(tmp_path_factory: pytest.TempPathFactory) -> Outline:
    content = sample.content(tmp_path_factory.mktemp("report"))
    return Outline(page.render(publish.assemble(sample.summary(), content), content))


def test_text_from_documents_is_text(outline: Outline) -> None:
    assert outline.count("script") == 1
    assert outline.count("img") == outline.count("iframe") == 0
    assert not [name for _, attributes in outline.elements for name in attributes if name.startswith("on")]
    assert sample.HOSTILE in outline.text
    assert "</pre><script>1</script>" in outline.text  # from the config
    assert "tiny<model>" in outline.text


def test_which_weights_were_kept_is_told(outline: Outline) -> None:
    for told in ("30 dev queries over 400 passages", "after step 8, the best0.5200", "after step 160.5000"):
        assert told in outline.text
    assert "0.7 of the best and the rest of the base model0.5300" in outline.text


def test_nothing_is_loaded_from_outside(outline: Outline) -> None:
    addresses = [
        value or ""
        for _, attributes in outline.elements
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href", "action", "data")
    ]
    assert all(address.startswith(("#", "data:")) for address in addresses)
    policy = next(found for tag, found in outline.elements if found.get("http-equiv") == "Content-Security-Policy")
    assert (policy["content"] or "").startswith("default-src 'none'")


def test_says_what_happened(outline: Outline) -> None:
    assert "Tuned is better than base by 3.1 nDCG@10 points" in outline.text
    assert outline.count("svg") == 6
    assert outline.count("details") == 35  # 20 instances, 10 queries, the notes of 4 stages and the config
    shown = ("0.680", "too short", "embed tuned", "2 min 11 s", "+1.2 to +5.0", "In 10 a retrieved one stands")
    for words in (*shown, "1,234 vectors stood in earlier outputs"):
        assert words in outline.text


def test_power_leaks_and_notes_are_on_the_page(outline: Outline) -> None:
    assert outline.text.index("about 2.7 nDCG@10 points to be found") < outline.text.index("Tuned is better than base")
    assert "Was the test seen in training?" in outline.text
    assert "test positive" in outline.text
    assert "output tokens per second" in outline.text


def test_what_each_model_put_first_stands_beside_what_is_relevant(outline: Outline) -> None:
    assert "rank 2 → 1" in outline.text
    assert "first by base decoy" in " ".join(outline.text.split())


def test_the_policy_knows_the_one_script_by_its_hash(outline: Outline) -> None:
    policy = next(found for tag, found in outline.elements if found.get("http-equiv") == "Content-Security-Policy")
    assert "script-src 'sha256-" in (policy["content"] or "")
    assert "unsafe-inline" not in (policy["content"] or "").partition("script-src")[2].partition(";")[0]


def test_ids_stand_once(outline: Outline) -> None:
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_a_run_without_rows_but_those_of_the_test_has_a_page(tmp_path: Path) -> None:
    content = sample.content(tmp_path, sample.no_more_than_the_test())
    found = Outline(page.render(publish.assemble(sample.summary(), content), content))
    assert "0 training instances" in found.text
    assert found.count("svg") == 2  # what changed, and when the stages ran


def test_intervals_share_one_axis() -> None:
    found = page.intervals(
        {"a": {"difference": 0.5, "low": 0.0, "high": 1.0}, "b": {"difference": -1, "low": -1, "high": -1}}
    )
    assert found["b"]["middle"] == 4
    assert found["a"] == {"zero": 50, "start": 50, "width": 46, "middle": 73}


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 00 s"), (3599, "59 min 59 s"), (7260, "2 h 01 min")],
)
def test_seconds(value: float, shown: str) -> None:
    assert page._seconds(value) == shown


def test_both_layouts_of_the_prompt_are_shown(outline: Outline) -> None:
    assert "84.6tokens written a second with the layout published\n" in outline.text
    assert "90tokens written a second with the layout prefix first, 25.0 % of what was read from the prefix cache" in (
        outline.text
    )
