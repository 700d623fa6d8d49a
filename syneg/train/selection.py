"""Which weights are kept: the best on dev, or the last where nobody looks; and their sum with the base model's."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from syneg.encoder.encoder import Encoder
from syneg.settings.train import DevConfig
from syneg.train import trainable
from syneg.train.checkpoint import Progress
from syneg.train.dev import DevSplit
from syneg.train.peers import Peers


class Selection:
    """Looks at dev while training. All workers call every method together and come to the same decisions."""

    def __init__(self, dev: DevSplit | None, settings: DevConfig, peers: Peers) -> None:
        self._dev, self._settings, self._peers = dev, settings, peers
        self._merge: dict[str, Any] = {}
        self.progress = Progress()
        self.best: Mapping[str, Tensor] | None = None  # weights that learn

    def begin(self, encoder: Encoder) -> None:
        """The base model's score, to compare with."""
        if self._dev is not None:
            self.progress = replace(self.progress, base=self._dev.ndcg(encoder, self._peers))

    def is_due(self, step: int, steps: int) -> bool:
        """Whether `step` steps are a time to look: every so many, and at the end."""
        return self._settings.every is not None and (step % self._settings.every == 0 or step == steps)

    def look(self, encoder: Encoder, step: int) -> float:
        """nDCG@10 of the weights after `step` steps, which are kept if they are the best so far."""
        assert self._dev is not None
        score, progress = self._dev.ndcg(encoder, self._peers), self.progress
        if progress.best is None or score > progress.best:
            self.best = trainable.snapshot(encoder)
            self.progress = replace(progress, best=score, best_step=step, looks_since=0)
        else:
            self.progress = replace(progress, looks_since=progress.looks_since + 1)
        return score

    @property
    def exhausted(self) -> bool:
        """Whether too many looks in a row found nothing better."""
        patience = self._settings.patience
        return patience is not None and self.progress.looks_since >= patience

    def finish(self, encoder: Encoder, base: Callable[[], Encoder], adapters: bool) -> None:
        """Leaves the chosen weights in `encoder`: the best, adapters folded in, mixed with those that `base` loads."""
        if self.best is not None:
            trainable.restore(encoder, self.best)
        if adapters:
            trainable.fold_adapters(encoder)
        if self._settings.merge_weights:
            self._mix(encoder, base())

    def facts(self) -> dict[str, Any]:
        """What was found on dev; nothing where nobody looked."""
        if self._dev is None:
            return {}
        passages = sum(block.num_rows for block in self._dev.passages)
        return {
            "dev": {
                "queries": len(self._dev.queries),
                "passages": passages,
                "over": "the whole corpus" if self._settings.passages == "corpus" else "a mined part of the corpus",
                "base": self.progress.base,
                "best": self.progress.best,
                "best_step": self.progress.best_step,
                "chosen": self.progress.best,
                **self._merge,
            }
        }

    def _mix(self, encoder: Encoder, base: Encoder) -> None:
        """The weight of the tuned model in its sum with the base is the one that does best on dev."""
        assert self._dev is not None
        tuned, plain = _floats(encoder), _floats(base)
        scores = {}
        for weight in sorted({*self._settings.merge_weights, 1.0}, reverse=True):
            _put_mixture(encoder, tuned, plain, weight)
            scores[weight] = self._dev.ndcg(encoder, self._peers)
        best = max(scores, key=lambda weight: scores[weight])  # of equal ones the first, which is nearest to the tuned
        _put_mixture(encoder, tuned, plain, best)
        found = {f"{weight:g}": score for weight, score in scores.items()}
        self._merge = {"merge_weight": best, "merge_scores": found, "chosen": scores[best]}


def _floats(encoder: Encoder) -> dict[str, Tensor]:
    return {
        name: value.detach().cpu().clone() for name, value in encoder.state_dict().items() if value.is_floating_point()
    }


def _put_mixture(encoder: Encoder, tuned: Mapping[str, Tensor], plain: Mapping[str, Tensor], weight: float) -> None:
    places = encoder.state_dict()
    with torch.no_grad():
        for name, value in tuned.items():
            places[name].copy_(torch.lerp(plain[name], value, weight))
