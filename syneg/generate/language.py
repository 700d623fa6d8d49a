"""Whether two texts are written in different languages, said only where that is certain.

py3langid (Lui and Baldwin 2012, retrained) knows 97 languages; its confidence is calibrated. Short texts, code and
formulas leave it uncertain, and then nothing is said.
"""

from functools import cache
from typing import Any

_CERTAIN = 0.8
_CHARS = 400  # that are looked at; the time taken grows with them


def differ(one: str, other: str) -> bool:
    language, sure = _language(one[:_CHARS])
    if sure < _CERTAIN:
        return False
    another, sure = _language(other[:_CHARS])
    return sure >= _CERTAIN and language != another


@cache
def _identifier() -> Any:
    from py3langid import langid

    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)


def _language(text: str) -> tuple[str, float]:
    return _identifier().classify(text)
