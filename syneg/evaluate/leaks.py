"""Whether the test was seen in training: test queries and their relevant passages among the texts trained on."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from syneg import schemas
from syneg.texts import words

_GRAM = 3  # words


@dataclass(frozen=True)
class Text:
    """`role` is what it serves as: test_query, test_positive; query, positive, or a negative's source."""

    role: str
    id: str
    text: str


def find(test: Sequence[Text], training: Iterable[Text], threshold: float) -> pa.Table:
    """Pairs of a test text and a training text that are the same or nearly so: `schemas.LEAKS`.

    Similarity is the Jaccard index of the sets of word 3-grams after normalisation (a shorter text is one gram, as is
    one without a word); equal texts have 1. Memory is bounded by the test's texts; a training text is looked at once
    for each time it comes.
    """
    grams_of = [_grams(text.text) for text in test]
    places: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, grams in enumerate(grams_of):
        for gram in grams:
            places[gram].append(place)
    found: dict[tuple[str, str, str, str], float] = {}
    for text in training:
        grams = _grams(text.text)
        shared = Counter(place for gram in grams if gram in places for place in places[gram])
        for place, count in shared.items():
            similarity = count / (len(grams) + len(grams_of[place]) - count)
            if similarity >= threshold:
                found[test[place].role, test[place].id, text.role, text.id] = similarity
    rows = [(*key, value) for key, value in sorted(found.items())]
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in schemas.LEAKS]
    return pa.table(columns, schema=schemas.LEAKS)


def trained_on(instances: Iterable[pa.Table]) -> Iterator[Text]:
    """Every text of the instances that were trained on. Blocks of `schemas.INSTANCES`."""
    for block in instances:
        for row in block.to_pylist():
            if row["reject_reason"] is None:
                yield Text("query", row["query_id"], row["query"])
                yield Text("positive", row["positive_id"], row["positive"])
                for negative in row["negatives"]:
                    yield Text(negative["source"], negative["id"], negative["text"])


def summary(leaks: pa.Table) -> dict[str, dict[str, int]]:
    """How many test texts were found, by their role and by that of the training text."""
    seen: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in leaks.to_pylist():
        seen[row["test_role"]][row["training_role"]].add(row["test_id"])
    return {role: {other: len(ids) for other, ids in found.items()} for role, found in seen.items()}


def _grams(text: str) -> frozenset[tuple[str, ...]]:
    found = words(text) or [text.strip()]
    if found == [""]:
        return frozenset()
    return frozenset(tuple(found[start : start + _GRAM]) for start in range(max(1, len(found) - _GRAM + 1)))
