"""How well synthetic negatives can be told from retrieved ones: the source-shortcut probe.

A model that can tell generated text from mined text can lower its loss by pushing generated text away, whatever the
query (CausalNeg, arXiv 2606.01304). So a logistic regression is asked to do just that, from three views of a text: its
length, its style, and its vector by the frozen encoder. Its cross-validated AUC is 0.5 where the view tells nothing.
"""

import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from syneg.texts import words

# Also as Arabic, Urdu and Hindi write it; Chinese and Japanese leave no space behind it.
_SENTENCE_END = re.compile("[.!?\u061f\u06d4\u0964]+(?:\\s|$)|[\u3002\uff01\uff1f]+")
_COMMAS = ",\u060c\u3001\uff0c"

LENGTH = ("words", "characters")
STYLE = (
    "characters per word",
    "words per sentence",
    "different words",  # share of all
    "commas per word",
    "punctuation",  # share of characters, as the three below
    "digits",
    "capitals",
    "beyond ASCII",
    "line breaks",
)
_ADVICE = {
    "length": "Ask for other lengths (`length` in the attributes file, generate.max_negative_chars), or keep only "
    "those of the positives' length by the gate.",
    "style": "Let the prompt show the corpus's own style (generate.style_example), or strip what only one kind has.",
    "vector": "The generator writes in its own way: try a stronger one, more attributes, or fewer synthetic negatives "
    "(mix.synthetic_share), and compare arms before you trust it.",
}


@dataclass(frozen=True)
class Told:
    """How well one view tells the kinds apart: the mean AUC over the folds, and its standard deviation over them."""

    auc: float
    spread: float


def length_features(texts: Sequence[str]) -> np.ndarray:
    """float64 [N, 2], logarithms: `LENGTH`."""
    counts = [(len(words(text)), len(text)) for text in texts]
    return np.log1p(np.array(counts, np.float64).reshape(-1, len(LENGTH)))


def style_features(texts: Sequence[str]) -> np.ndarray:
    """float64 [N, 9], none of which grows with the length by itself: `STYLE`."""
    return np.array([_style(text) for text in texts], np.float64).reshape(-1, len(STYLE))


def _style(text: str) -> list[float]:
    found = words(text) or [""]
    characters = max(1, len(text))
    head = found[:100]  # the share of different words falls with length
    return [
        sum(map(len, found)) / len(found),
        len(found) / max(1, len(_SENTENCE_END.findall(text))),
        len(set(head)) / len(head),
        sum(character in _COMMAS for character in text) / len(found),
        sum(_is_punctuation(character) for character in text) / characters,
        sum(character.isdigit() for character in text) / characters,
        sum(character.isupper() for character in text) / characters,
        sum(character > "\x7f" for character in text) / characters,
        text.count("\n") / characters,
    ]


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character)[0] == "P"


def told_apart(features_NF: np.ndarray, synthetic_N: np.ndarray, query_N: np.ndarray, folds: int, seed: int) -> Told:
    """Cross-validated AUC of a logistic regression. Texts of one query (`query_N`) are in one fold, so that no fold
    is scored on a topic that it was fitted on.

    Args:
        features_NF: what is known of each text.
        synthetic_N: bool, what is to be told. Both kinds must come from at least `folds` queries.
        query_N: the query of each text, as any integer.

    A fold without one of the kinds tells nothing and does not count.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2_000))
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with threadpool_limits(1):  # the matrices are small: threads would only wait for each other
        scores = cross_val_score(model, features_NF, synthetic_N, groups=query_N, cv=split, scoring="roc_auc")
    return Told(float(np.nanmean(scores)), float(np.nanstd(scores)))


def largest_differences(features_NF: np.ndarray, names: Sequence[str], synthetic_N: np.ndarray) -> list[str]:
    """Names of the features that differ most between the kinds, by standardised mean difference, largest first."""
    synthetic, retrieved = features_NF[synthetic_N], features_NF[~synthetic_N]
    scale = np.sqrt((synthetic.var(axis=0) + retrieved.var(axis=0)) / 2)
    gap = np.abs(synthetic.mean(axis=0) - retrieved.mean(axis=0)) / np.maximum(scale, 1e-12)
    return [names[int(place)] for place in np.argsort(-gap)]


def medians(values_N: np.ndarray, synthetic_N: np.ndarray) -> tuple[float, float]:
    """Of the synthetic ones, and of the retrieved ones."""
    return float(np.median(values_N[synthetic_N])), float(np.median(values_N[~synthetic_N]))


def warnings(
    told: Mapping[str, Told], lengths: tuple[float, float], most_different: str, threshold: float
) -> list[str]:
    """What to do about each view (length, style, vector) that tells the kinds apart too well, in words.

    Args:
        told: by view.
        lengths: median number of words of synthetic and of retrieved negatives.
        most_different: the feature of style that differs most.
        threshold: the AUC above which to warn.
    """
    by = {
        "length": f"their length alone (median {lengths[0]:.0f} words against {lengths[1]:.0f})",
        "style": f"their style alone (most by {most_different})",
        "vector": "the encoder's vectors",
    }
    return [
        f"Synthetic negatives can be told from retrieved ones by {by[view]}: AUC {found.auc:.2f} (0.5 is a guess). "
        f"A model may learn the source instead of relevance. {_ADVICE[view]}"
        for view, found in told.items()
        if found.auc > threshold
    ]
