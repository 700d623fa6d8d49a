"""A small collection in BEIR layout, with recorded answers for every training pair."""

import json
from pathlib import Path
from typing import Any

WORDS = ["river", "stone", "light", "cloud", "paper", "engine", "garden", "window", "copper", "forest", "signal"]


def text(number: int, length: int) -> str:
    """Prose of sorts, another for each number."""
    return " ".join(WORDS[(number * (place + 3) + place * place) % len(WORDS)] for place in range(length))


def collection(folder: Path, passages: int, queries: int) -> Path:
    """`queries` training queries and as many test queries, each with one relevant passage."""
    (folder / "qrels").mkdir(parents=True)
    lines = [{"_id": f"p{n}", "title": f"Title {n}", "text": f"{n} {text(n, 40)}"} for n in range(passages)]
    _write(folder / "corpus.jsonl", lines)
    kinds = {"train": "a", "test": "b"}
    _write(
        folder / "queries.jsonl",
        [{"_id": f"{kind}{n}", "text": f"{text(n, 6)} {n}"} for kind in kinds.values() for n in range(queries)],
    )
    for split, kind in kinds.items():
        rows = "".join(f"{kind}{n}\tp{n}\t1\n" for n in range(queries))
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    answers = [
        {"query_id": f"a{n}", "positive_id": f"p{n}", "reasoning": "", "hard_negative": f"{text(n + 7, 40)} {n} {n}"}
        for n in range(queries)
    ]
    _write(folder / "answers.jsonl", answers)
    return folder


def config(folder: Path, name: str, **resources: Any) -> dict[str, Any]:
    return {
        "name": name,
        "store": {"root": str(folder / "store")},
        "corpus": {"source": "beir", "path": str(folder / "collection")},
        "encoder": {"query_max_length": 16, "passage_max_length": 64},
        "generate": {"engine": {"kind": "recorded", "path": str(folder / "collection" / "answers.jsonl")}},
        "mine": {"samplers": {"dense": {"window_end": 20}, "bm25": {"window_end": 20}}},
        "mix": {"on_short": "keep"},
        "resources": resources,
    }


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
