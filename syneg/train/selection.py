"""Which weights are kept: the best on dev, those that training began with among them, or the last where nobody looks;
and their sum with the base model's."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from syneg.encoder.encoder import Encoder
from syneg.errors import StageFailed
from syneg.settings.train import DevConfig
from syneg.train import trainable
from syneg.train.checkpoint import Progress
from syneg.train.dev import DevSplit
from syneg.train.peers import Peers

_STAYED = "no look was better than the start: the weights are those that training began with"


class Selection:
    """Looks at dev while training. All workers call every method together and come to the same decisions."""

    def __init__(self, dev: DevSplit | None, settings: DevConfig, peers: Peers) -> None:
        self._dev, self._settings, self._peers = dev, settings, peers
        self._merge: dict[str, Any] = {}
        self.progress = Progress()
        self.best: Mapping[str, Tensor] | None = None  # weights that learn

    def begin(self, encoder: Encoder) -> None:
        """The base model's score: the best so far, at step 0."""
        if self._dev is not None:
            base = self._score(encoder, "Before the first step")
            self.best = trainable.snapshot(encoder)
            self.progress = replace(self.progress, base=base, best=base, best_step=0)

    def is_due(self, step: int, steps: int) -> bool:
        """Whether `step` steps are a time to look: every so many, and at the end."""
        return self._settings.every is not None and (step % self._settings.every == 0 or step == steps)

    def look(self, encoder: Encoder, step: int) -> float:
        """nDCG@10 of the weights after `step` steps, which are kept if they are the best so far.

        Raises:
            StageFailed: the vectors are not finite numbers; on all workers.
        """
        score, progress = self._score(encoder, f"After step {step}"), self.progress
        assert progress.best is not None  # `begin` or a checkpoint left one
        if score > progress.best:
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
        """Leaves the chosen weights in `encoder`: the best, adapters folded in, mixed with those that `base` loads.

        Where none was better than the start, the last are mixed: a little of them may still help.
        """
        merging = bool(self._settings.merge_weights)
        if self.best is not None and not (merging and self._no_look_was_better):
            trainable.restore(encoder, self.best)
        if adapters:
            trainable.fold_adapters(encoder)
        if merging:
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

    @property
    def warnings(self) -> list[str]:
        """To be read after `finish`."""
        mixed_in = self._merge.get("merge_weight", 0.0)
        return [_STAYED] if self._no_look_was_better and not mixed_in else []

    @property
    def _no_look_was_better(self) -> bool:
        return self.progress.best_step == 0

    def _score(self, encoder: Encoder, when: str) -> float:
        assert self._dev is not None
        score = self._dev.ndcg(encoder, self._peers)
        if not math.isfinite(score):
            raise StageFailed(
                f"{when} the vectors of the dev split are not finite numbers, so nothing can be ranked by them. Lower "
                "train.learning_rate; if it was so before the first step, look at the model's weights."
            )
        return score

    def _mix(self, encoder: Encoder, base: Encoder) -> None:
        """The weight of the tuned model in its sum with the base is the one that does best on dev."""
        assert self.progress.base is not None
        tuned, plain = _floats(encoder), _floats(base)
        scores = {0.0: self.progress.base}
        for weight in sorted({*self._settings.merge_weights, 1.0} - {0.0}, reverse=True):
            _put_mixture(encoder, tuned, plain, weight)
            scores[weight] = self._score(encoder, f"With {weight:g} of the tuned weights")
        best = max(scores, key=lambda weight: scores[weight])  # of equal ones the base, then what is nearest to tuned
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
