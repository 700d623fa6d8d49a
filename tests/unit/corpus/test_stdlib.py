"""The embedded collection: stable, without leaks from query to passage."""

import ast
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from syneg.corpus import sources, stdlib
from syneg.settings.corpus import CorpusConfig
from syneg.texts import normalized
from tests.unit.corpus.folders import run_stage

SMALL = '''
def kept(a):
    """Return what was given to the function. More of it."""
    # a comment
    class Inner:
        """Also this is the docstring of something."""
    return a

def kept(a, b):
    """Return the sum of the two numbers."""
    return a + b

class Outer:
    if True:
        async def method(self):
            """Wait until the thing has come
            to an end

            and more."""
            await self

def copy(a, b):
    """Return the sum of both the arguments."""
    return a + b

def other(b):
    """return  what was given to the function."""
    return [b]

def short(a):
    """Too short."""
    return a

def empty():
    """Do nothing at all and return it."""

def quoting():
    """Return the sentence that stands above."""
    return "Return the sentence that stands above."
'''


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bisect.py").write_text(SMALL)
    (tmp_path / "email" / "test").mkdir(parents=True)
    (tmp_path / "email" / "test" / "test_it.py").write_text(SMALL)
    (tmp_path / "email" / "__init__.py").write_text(
        SMALL.replace("return a + b", "return b * a").replace("sum", "product")
    )
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "foreign.py").write_text(SMALL)
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))


@pytest.mark.usefixtures("small")
def test_harvest() -> None:
    of_bisect = [each for each in stdlib.harvest() if each.passage_id.startswith("bisect.")]
    assert [(each.passage_id, each.sentence) for each in of_bisect] == [
        ("bisect.kept", "Return what was given to the function."),
        ("bisect.kept#2", "Return the sum of the two numbers."),
        ("bisect.Outer.method", "Wait until the thing has come to an end"),
        ("bisect.copy", "Return the sum of both the arguments."),
        ("bisect.other", "return what was given to the function."),
    ]
    assert of_bisect[0].code == "def kept(a):\n\n    class Inner:\n        pass\n    return a"


@pytest.mark.usefixtures("small")
def test_a_shared_sentence_is_one_query_and_equal_code_one_passage() -> None:
    collection = stdlib.read(CorpusConfig(source="stdlib"))
    shared = stdlib.query_id("Return what was given to the function.")
    judged = pa.concat_tables(each.rows for each in collection.judgements.values()).to_pylist()
    assert {row["passage_id"] for row in judged if row["query_id"] == shared} == {"bisect.kept", "bisect.other"}
    assert collection.queries["id"].to_pylist().count(shared) == 1
    # email holds the same three functions again
    assert collection.rejected == {"duplicate_text": 3}


@pytest.mark.usefixtures("whole_library")
def test_the_whole_library() -> None:
    tables, output = run_stage(CorpusConfig(source="stdlib"))
    passages, queries, qrels = (tables[name].to_pylist() for name in ("passages", "queries", "qrels"))
    assert len(passages) > 3000
    assert {row["split"] for row in queries} == {"train", "dev", "test"}
    assert len({normalized(row["text"]) for row in passages}) == len(passages)
    texts = {row["passage_id"]: f"{row['title']} {row['text']}" for row in passages}
    asked = {row["query_id"]: row["text"] for row in queries}
    assert all(5 <= len(text.split()) <= 30 for text in asked.values())
    for row in qrels:
        assert normalized(asked[row["query_id"]]) not in normalized(texts[row["passage_id"]])
    for row in passages[::50]:
        ast.parse(row["text"])
    counts = output.facts()["queries"]
    assert 0.6 < counts["train"] / sum(counts.values()) < 0.8


def test_its_version_is_that_of_python() -> None:
    corpus = CorpusConfig(source="stdlib")
    assert sources.files(corpus) == []
    assert sys.version.split()[0] in sources.version(corpus)
