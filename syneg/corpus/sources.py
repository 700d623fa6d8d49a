"""Which files a corpus section reads. Imports nothing heavy: `syneg plan` asks here."""

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from syneg.errors import BadInput
from syneg.settings.address import expanded
from syneg.settings.corpus import DEV, CorpusConfig
from syneg.store import files as store

ROLES = ("train", "dev", "test")
STDLIB = "the standard library"
_SPLIT = re.compile(r"(?P<split>.+)\.(tsv|txt)(\.gz)?")
_HARVEST = 1  # raised when stdlib.py comes to harvest other rows from the same Python


@dataclass(frozen=True)
class InputFiles:
    """`queries` are in the order of precedence where several files hold a query; `qrels` goes by role."""

    passages: str
    queries: tuple[str, ...]
    qrels: Mapping[str, str]


def files(corpus: CorpusConfig) -> list[str]:
    """The files that make the rows, each existing; none for the embedded collection, which has a `version` instead.

    Raises:
        BadInput: a file that is needed is not there.
    """
    if corpus.source == "stdlib":
        return []
    found = beir(corpus) if corpus.source == "beir" else msmarco(corpus)
    return [found.passages, *found.queries, *found.qrels.values()]


def version(corpus: CorpusConfig) -> str:
    """What else makes the rows: for the embedded collection the Python that it is harvested from."""
    return f"python {platform.python_version()}, harvest {_HARVEST}" if corpus.source == "stdlib" else ""


def splits(corpus: CorpusConfig) -> dict[str, str]:
    """The name of each role's judgements, of those roles that have one: a collection that is just evaluated on has
    nothing to train on."""
    names = zip(ROLES, (corpus.split, corpus.dev_split, corpus.test_split), strict=True)
    return {role: name for role, name in names if name is not None}


def has_dev(corpus: CorpusConfig) -> bool:
    """Whether there are judgements of the role dev. Raises BadInput as `files` does."""
    if corpus.source == "stdlib":
        return "dev" in splits(corpus)
    return "dev" in (beir(corpus) if corpus.source == "beir" else msmarco(corpus)).qrels


def to_evaluate_on(corpus: CorpusConfig, folder: str) -> CorpusConfig:
    """`corpus` for the BEIR folder `folder`, which need not have judgements to train on, nor a dev split.

    Raises:
        BadInput: it is not there, or lacks passages, queries or judgements to test on.
    """
    moved = corpus.model_copy(update={"source": "beir", "path": expanded(folder)})
    _check_beir(expanded(folder))
    if _find(_folder(moved), f"qrels/{moved.split}.tsv") is None:
        moved = moved.model_copy(update={"split": None})
    if moved.dev_split != DEV and _find(_folder(moved), f"qrels/{moved.dev_split}.tsv") is None:
        moved = moved.model_copy(update={"dev_split": None})
    files(moved)
    return moved


def _check_beir(folder: str) -> None:
    """As `files` would, but in the words of the option that takes BEIR folders alone."""
    if not store.exists(folder):
        raise BadInput(
            f"--corpus: there is no folder {folder}{store.looked_from(folder)}. Give the folder of a collection in "
            "BEIR layout."
        )
    for name in ("corpus.jsonl", "queries.jsonl"):
        if _find(folder, name) is None:
            raise BadInput(
                f"--corpus: {folder} has no {name} (nor {name}.gz). Expected a BEIR folder with corpus.jsonl, "
                f"queries.jsonl and qrels/; of MS MARCO's tsv files `syneg corpus {folder} OUT --msmarco` makes one."
            )


def beir(corpus: CorpusConfig) -> InputFiles:
    """corpus.jsonl, queries.jsonl, qrels/{split}.tsv; each may end in .gz, the plain one is taken first."""
    folder = _folder(corpus)
    qrels = {role: _find(folder, f"qrels/{split}.tsv") for role, split in splits(corpus).items()}
    return InputFiles(
        _needed(folder, "corpus.jsonl"), (_needed(folder, "queries.jsonl"),), _judged(corpus, folder, qrels, "qrels/")
    )


def msmarco(corpus: CorpusConfig) -> InputFiles:
    """collection.tsv, queries.{split}.tsv, qrels.{split}.tsv as MS MARCO names them; .txt and .gz are taken as well.

    The small development set is a split like any other: `corpus.test_split=dev.small`.
    """
    folder = _folder(corpus)
    names = splits(corpus)
    qrels = {role: _find(folder, *_tsv(f"qrels.{split}")) for role, split in names.items()}
    judged = _judged(corpus, folder, qrels, "qrels.")
    queries = tuple(_needed(folder, *_tsv(f"queries.{names[role]}")) for role in reversed(ROLES) if role in judged)
    return InputFiles(_needed(folder, *_tsv("collection")), queries, judged)


def _tsv(name: str) -> tuple[str, str]:
    return f"{name}.tsv", f"{name}.txt"


def _folder(corpus: CorpusConfig) -> str:
    assert corpus.path is not None  # the config refuses a source of files without a path
    if not store.exists(corpus.path):
        raise BadInput(
            f"corpus.path: there is no folder {corpus.path}{store.looked_from(corpus.path)}. Give the folder of a "
            f"collection in {'BEIR layout' if corpus.source == 'beir' else 'MS MARCO tsv layout'}."
        )
    return corpus.path


def _find(folder: str, *names: str) -> str | None:
    paths = [store.join(folder, name + suffix) for name in names for suffix in ("", ".gz")]
    return next((path for path in paths if store.exists(path)), None)


def _needed(folder: str, *names: str) -> str:
    if path := _find(folder, *names):
        return path
    raise BadInput(
        f"corpus.path: {folder} has no {names[0]} (nor {names[0]}.gz). Expected corpus.jsonl, queries.jsonl and "
        "qrels/ for corpus.source=beir, collection.tsv, queries.*.tsv and qrels.*.tsv for corpus.source=msmarco; the "
        "README shows how to convert other formats (Your own data and LLM)."
    )


def _judged(corpus: CorpusConfig, folder: str, qrels: Mapping[str, str | None], prefix: str) -> dict[str, str]:
    """Judgements to train on and to test on are needed. Those of a dev split may be absent unless the config names it
    otherwise than by default: the config that a run leaves behind names all, and can be run again."""
    needed = {"train": "split", "dev": "dev_split", "test": "test_split"}
    if corpus.dev_split == DEV:
        del needed["dev"]
    for role, key in needed.items():
        if role in qrels and qrels[role] is None:
            seen = _splits_in(folder, prefix)
            raise BadInput(
                f"corpus.{key}: {folder} has no judgements {prefix}{getattr(corpus, key)}.tsv (nor .gz); splits found "
                f"there: {', '.join(seen) or 'none'}. {_remedy(corpus, folder, key, seen)}."
            )
    return {role: path for role, path in qrels.items() if path is not None}


def _splits_in(folder: str, prefix: str) -> list[str]:
    """The splits that have judgements, by their names."""
    names = (path.removeprefix(prefix) for path, _ in store.files_below(folder) if path.startswith(prefix))
    found = map(_SPLIT.fullmatch, names)
    return sorted({name["split"] for name in found if name})


def _remedy(corpus: CorpusConfig, folder: str, key: str, seen: Sequence[str]) -> str:
    """What to do about judgements that are not there, without a full stop."""
    taken = {name: other for other in ("split", "test_split") if other != key and (name := getattr(corpus, other))}
    free = [name for name in seen if name not in taken]
    if key == "dev_split":
        named = f"Name one of them by corpus.{key}, or do" if free else "Do"
        return f"{named} without them: corpus.dev_split=null"
    if free:
        also = f" (for {corpus.dev_split} with corpus.dev_split=null beside it)" if corpus.dev_split in free else ""
        return f"Name one of them by corpus.{key}{also}"
    name = getattr(corpus, key)
    if corpus.source == "msmarco" and _find(folder, "qrels.tsv"):
        return f"Rename qrels.tsv to qrels.{name}.tsv and queries.tsv to queries.{name}.tsv"
    besides = f", besides {' and '.join(seen)}" if seen else ""
    return f"Expected judgements to {'train' if key == 'split' else 'test'} on there{besides}"
