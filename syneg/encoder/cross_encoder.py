"""Scores of (query, passage) pairs by a sequence-classification model, which reads both texts at once."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from syneg.encoder import on_cpu
from syneg.encoder.encoder import by_length
from syneg.texts import storable

_TOKENS_PER_BATCH = {"cpu": 1_536, "cuda": 65_536}  # with padding
_PAIRS_AT_ONCE = 16_384  # cut into tokens and sorted by length, so that all batches but the last of them are full


class CrossEncoder:
    """A folder that transformers loads as a sequence classifier with one label, or with two: no and yes."""

    def __init__(self, folder: Path, max_length: int) -> None:
        """`max_length`: tokens of query, passage and what the tokeniser puts around them."""
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model: Any = AutoModelForSequenceClassification.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32
        )
        self._model = model.to(self._device).eval()
        if self._device.type == "cpu":
            on_cpu.install(self._model, model.config)
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._max_length = max_length

    def scores(self, queries: Sequence[str], passages: Sequence[str]) -> np.ndarray:
        """Logits float32 [N] of N pairs; of two labels yes minus no. The longer text of a pair is cut first."""
        pieces = [slice(start, start + _PAIRS_AT_ONCE) for start in range(0, len(queries), _PAIRS_AT_ONCE)]
        return np.concatenate([np.empty(0, np.float32), *(self._piece(queries[at], passages[at]) for at in pieces)])

    def _piece(self, queries: Sequence[str], passages: Sequence[str]) -> np.ndarray:
        clean = [[storable(text) for text in texts] for texts in (queries, passages)]
        tokens = self._tokenizer(*clean, truncation="longest_first", max_length=self._max_length)
        lengths_N = np.array([len(ids) for ids in tokens["input_ids"]])
        scores_N = np.empty(len(queries), np.float32)
        with torch.inference_mode():
            for rows in by_length(lengths_N, _TOKENS_PER_BATCH[self._device.type]):
                own = {name: [values[row] for row in rows] for name, values in tokens.items()}
                logits_NC = self._model(**self._tokenizer.pad(own, return_tensors="pt").to(self._device)).logits
                logits_N = logits_NC[:, 0] if logits_NC.shape[1] == 1 else logits_NC[:, 1] - logits_NC[:, 0]
                scores_N[rows] = logits_N.cpu().numpy()
        return scores_N


@lru_cache(maxsize=1)
def loaded(folder: Path, max_length: int) -> CrossEncoder:
    """Once a process: a worker scores one slice after the other."""
    return CrossEncoder(folder, max_length)
