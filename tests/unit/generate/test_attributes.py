from collections import Counter
from pathlib import Path

import pytest

from syneg.errors import BadInput
from syneg.generate import attributes

LISTS = Path(__file__).parents[3] / "configs" / "attributes"


@pytest.mark.parametrize("path", sorted(LISTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_file_loads_and_reads_as_a_sentence(path: Path) -> None:
    lists = attributes.load(str(path))
    assert all(phrase.endswith((" as", " than")) for phrase in lists.length)
    for values in (lists.domain_name, lists.difficult_level, lists.length):
        assert len(set(values)) == len(values)


def test_the_published_lists_of_scifact() -> None:
    lists = attributes.load(str(LISTS / "scifact.yaml"))
    assert lists.domain_name == (
        "Epidemiology",
        "Public Health",
        "Virology",
        "Biostatistics",
        "Healthcare Policy",
        "Infectious Diseases",
        "Bioinformatics",
        "Medical Research",
        "Pharmacology",
    )
    assert lists.difficult_level == (
        "Foundational (Equivalent to Elementary and Middle School)",
        "Intermediate (High School and Undergraduate)",
    )
    assert lists.length == ("approximately the same as", "nearly the same as")


def test_a_draw_depends_on_seed_and_key_and_on_nothing_else() -> None:
    lists = attributes.load(str(LISTS / "scifact.yaml"))
    drawn = [lists.draw(7, f"key {number}") for number in range(900)]
    assert drawn == [lists.draw(7, f"key {number}") for number in range(900)]
    assert drawn != [lists.draw(8, f"key {number}") for number in range(900)]
    counts = Counter(attribute.domain for attribute in drawn)
    assert set(counts) == set(lists.domain_name)
    assert max(counts.values()) < 2 * min(counts.values())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[1, 2", "no valid YAML"),
        ("domain_name: [a]\nlength: [b]\nlength: [c]", "lists.yaml:3: the key length stands twice"),
        ("- a\n- b", "holds list"),
        ("domain_name: [a]\nlength: [b]", "expected exactly the lists"),
        ("domain_name: [a]\nlength: [b]\ndifficult_level: [c]\nmood: [d]", "expected exactly the lists"),
        ("domain_name: a\nlength: [b]\ndifficult_level: [c]", "domain_name"),
        ("domain_name: []\nlength: [b]\ndifficult_level: [c]", "one or more"),
        ("domain_name: [a]\nlength: [yes]\ndifficult_level: [c]", "quote it"),
        ("domain_name: [a]\nlength: [' ']\ndifficult_level: [c]", "length"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "lists.yaml"
    path.write_text(content)
    with pytest.raises(BadInput, match=said):
        attributes.load(str(path))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        attributes.load(str(tmp_path / "none.yaml"))
