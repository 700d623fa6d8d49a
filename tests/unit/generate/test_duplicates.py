import random

import numpy as np
import pytest

from syneg.generate.duplicates import duplicates, grams, rows_per_band, signature, similarity, suspects


def corpus(seed: int) -> dict[str, list[str]]:
    """Texts of which many are copies of others with a few words changed, under ids in no order."""
    chance = random.Random(seed)
    texts: list[list[str]] = []
    for _ in range(150):
        if texts and chance.random() < 0.6:
            text = list(chance.choice(texts))
            for _ in range(chance.choice([0, 0, 1, 1, 2, 4, 8])):
                text[chance.randrange(len(text))] = f"word{chance.randrange(500)}"
        else:
            text = [f"word{chance.randrange(500)}" for _ in range(chance.randrange(2, 60))]
        texts.append(text)
    ids = [f"{number:04d}" for number in range(len(texts))]
    chance.shuffle(ids)
    return dict(zip(ids, texts, strict=True))


def all_pairs(texts: dict[str, frozenset[int]], threshold: float) -> frozenset[str]:
    """The oracle: every text against every kept one."""
    kept: list[str] = []
    for name in sorted(texts):
        if all(similarity(texts[name], texts[other]) < threshold for other in kept):
            kept.append(name)
    return frozenset(texts) - frozenset(kept)


@pytest.mark.parametrize("threshold", [1.0, 0.8, 0.5, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_against_all_pairs(seed: int, threshold: float) -> None:
    texts = {name: grams(text) for name, text in corpus(seed).items()}
    ids = list(texts)
    rows = rows_per_band(threshold)
    signatures = np.stack([signature(texts[name], rows) for name in ids])
    expected = all_pairs(texts, threshold)
    assert expected
    suspected = suspects(signatures)
    names = [ids[index] for index in suspected]
    assert duplicates(names, signatures[suspected], texts, threshold) == expected
    assert duplicates(ids, signatures, texts, threshold) == expected  # those that are no suspects change nothing


def test_the_order_of_the_rows_does_not_matter() -> None:
    texts = {name: grams(text) for name, text in corpus(5).items()}
    found = set()
    for seed in range(3):
        ids = list(texts)
        random.Random(seed).shuffle(ids)
        signatures = np.stack([signature(texts[name], rows_per_band(0.8)) for name in ids])
        found.add(duplicates(ids, signatures, texts, 0.8))
    assert len(found) == 1


def test_texts_without_likeness_are_no_suspects() -> None:
    texts = [[f"word{number}-{place}" for place in range(50)] for number in range(200)]
    signatures = np.stack([signature(grams(text), rows_per_band(0.8)) for text in texts])
    assert len(suspects(signatures)) == 0
    assert len(suspects(signatures[:1])) == 0


def test_short_texts_have_a_gram() -> None:
    assert len(grams(["one"])) == len(grams(["one", "two"])) == len(grams(["one", "two", "three"])) == 1
    assert similarity(grams(["one"]), grams(["two"])) == 0.0
