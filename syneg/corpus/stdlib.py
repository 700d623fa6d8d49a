"""The embedded collection: Python's own standard library, parsed and never imported.

A function whose docstring begins with a sentence of 5 to 30 words gives a passage (its code without any docstring or
comment, titled by its qualified name) and a query (that sentence). Functions inside functions are left out, since they
are in the outer one's code.

One sentence above several functions is one query, judged relevant for each of them: dropping it would leave their
passages unjudged, and keeping one function would make the others false negatives. Of functions with the same code only
the first in order counts (`duplicate_text`): two equal passages cannot be told apart by any ranking.
"""

import ast
import hashlib
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from syneg.corpus import sources
from syneg.corpus.collection import RECORDS, Collection, Judgements, judgement_table, record_batch
from syneg.errors import BadInput
from syneg.settings.corpus import CorpusConfig
from syneg.store import files
from syneg.texts import normalized

_FEWEST_WORDS, _MOST_WORDS = 5, 30
_TRAIN_PERCENT, _DEV_PERCENT = 70, 10  # the rest is for testing
# Parts that Linux distributions and builds of the same Python leave out or package apart.
_NOT_EVERYWHERE = {
    "distutils",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "msilib",
    "pydoc_data",
    "tkinter",
    "turtle",
    "turtledemo",
}
_TESTS = {"test", "tests"}
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n\s*\n")

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Harvested:
    passage_id: str
    sentence: str
    code: str


def read(corpus: CorpusConfig) -> Collection:
    unknown = [name for name in sources.splits(corpus).values() if name not in sources.ROLES]
    if unknown:
        raise BadInput(
            f"corpus.source=stdlib has no split {unknown[0]!r}. Its splits are {', '.join(sources.ROLES)}: "
            "leave corpus.split, corpus.dev_split and corpus.test_split out."
        )
    harvested = sorted(harvest(), key=lambda function: function.passage_id)
    first_of = {normalized(function.code): function for function in reversed(harvested)}
    kept = sorted(first_of.values(), key=lambda function: function.passage_id)
    return _collection(kept, len(harvested) - len(kept), sources.splits(corpus))


def _collection(functions: list[Harvested], duplicates: int, splits: dict[str, str]) -> Collection:
    passages = record_batch(
        sources.STDLIB, [(each.passage_id, each.passage_id, each.code, row) for row, each in enumerate(functions)]
    )
    sentences = {normalized(each.sentence): each.sentence for each in reversed(functions)}
    queries = [(query_id(text), "", text, row) for row, text in enumerate(reversed(sentences.values()))]
    judged: dict[str, list[tuple[str, str, str, int]]] = {name: [] for name in sources.ROLES}
    for row, each in enumerate(functions):
        name = query_id(each.sentence)
        judged[split_of(name)].append((name, each.passage_id, "1", row))
    return Collection(
        passages_path=sources.STDLIB,
        passages=lambda: iter([passages]),
        queries=pa.Table.from_batches([record_batch(sources.STDLIB, queries)], RECORDS),
        judgements={
            role: Judgements(f"{sources.STDLIB}, {split}", judgement_table(sources.STDLIB, judged[split]))
            for role, split in splits.items()
        },
        rejected={"duplicate_text": duplicates},
    )


def query_id(sentence: str) -> str:
    """The same for all functions that begin with this sentence, whatever its case and spacing."""
    return "q-" + hashlib.sha256(normalized(sentence).encode()).hexdigest()[:16]


def split_of(query_id: str) -> str:
    percent = int.from_bytes(hashlib.sha256(query_id.encode()).digest()[:8], "big") % 100
    if percent < _TRAIN_PERCENT:
        return "train"
    return "dev" if percent < _TRAIN_PERCENT + _DEV_PERCENT else "test"


def harvest() -> Iterator[Harvested]:
    """Every function that makes a pair, module by module. Ids are qualified names; a name's second function has #2."""
    folder = Path(sysconfig.get_path("stdlib"))
    for path in _modules(folder):
        parts = path.relative_to(folder).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in old string literals
            tree = ast.parse(files.read(str(path)))
        seen: dict[str, int] = {}
        for name, function in _functions(tree, module):
            sentence = first_sentence(ast.get_docstring(function) or "")
            if not _FEWEST_WORDS <= len(sentence.split()) <= _MOST_WORDS:
                continue
            code = without_docstrings(function)
            if code is None or normalized(sentence) in normalized(code):
                continue
            seen[name] = seen.get(name, 0) + 1
            yield Harvested(name if seen[name] == 1 else f"{name}#{seen[name]}", sentence, code)


def _modules(folder: Path) -> Iterator[Path]:
    """The files of the modules that every build of this Python names as its own."""
    for name in sorted(sys.stdlib_module_names - _NOT_EVERYWHERE):
        paths = [folder / f"{name}.py"] if (folder / f"{name}.py").is_file() else sorted((folder / name).rglob("*.py"))
        yield from (path for path in paths if not _TESTS & set(path.relative_to(folder).parts))


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, _Function]]:
    """Functions of modules and classes with their qualified names, also those under `if` and `try`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _Function):
            yield f"{prefix}.{child.name}", child
        elif not isinstance(child, ast.expr):
            yield from _functions(child, f"{prefix}.{child.name}" if isinstance(child, ast.ClassDef) else prefix)


def first_sentence(docstring: str) -> str:
    """Up to the first full stop, question or exclamation mark before white space, or to a blank line; on one line."""
    return " ".join(_SENTENCE_END.split(docstring.strip(), maxsplit=1)[0].split())


def without_docstrings(function: _Function) -> str | None:
    """The function's code without comments and without its or any inner docstring; None if nothing else is in it.

    They are taken out of `function` itself.
    """
    if len(function.body) == 1:
        return None
    for node in ast.walk(function):
        if isinstance(node, _Function | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(function)
