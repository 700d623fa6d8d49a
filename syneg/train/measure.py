"""What is recorded of a step. Every worker sums over its share; the sum over the workers is all that a row needs."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from syneg.train.step import Scored

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
IN_BATCH = "in_batch"  # all negatives that are another instance's passages
WINDOW = 32  # steps over which the variance of the gradient's norm is taken
_BINS = 400  # of cosines: quantiles are right within 0.005
# bfloat16 operations a second without sparsity, by what the device's name contains (vendor's data sheets).
_PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10G": 70e12, "V100": 125e12}


def step_sums(scored: Sequence[Scored], sources: Sequence[str], wishes: Sequence[bool]) -> Tensor:
    """float64 [N]: what this worker adds to the record of a step, for `Record.row`.

    `sources` are all that negatives come from; `wishes` travel along, so that a worker's wish is known to all.
    """
    columns = {source: column for column, source in enumerate((*sources, IN_BATCH))}
    masses, counts = np.zeros(len(columns)), np.zeros(len(columns))
    positives, negatives = np.zeros(_BINS), np.zeros(_BINS)
    loss = 0.0
    for part in scored:
        losses_Q, scores_QK, masses_QK = (
            values.double().cpu().numpy()
            for values in (part.contrasted.losses_Q, part.contrasted.scores_QK, part.contrasted.masses_QK)
        )
        loss += float(losses_Q.sum())
        present_QK = part.batch.candidates_QK.numpy() >= 0
        is_negative_QK = present_QK.copy()
        is_negative_QK[:, 0] = False
        of_source = np.array([columns.get(source, -1) for source in part.batch.sources])
        chosen = of_source[part.batch.candidates_QK.numpy()[is_negative_QK]]
        np.add.at(masses, chosen, masses_QK[is_negative_QK])
        np.add.at(counts, chosen, 1)
        masses[-1] += len(losses_Q) - masses_QK[present_QK].sum()
        positives += _histogram(scores_QK[:, 0])
        negatives += _histogram(scores_QK[is_negative_QK])
    head = [loss, sum(part.tokens for part in scored), *map(float, wishes)]
    return torch.from_numpy(np.concatenate([head, positives, negatives, masses, counts]))


def not_finite(scored: Sequence[Scored]) -> list[str]:
    """The instances whose loss is not a finite number, as "(query, positive)"."""
    return [
        f"({part.batch.instances[row]['query_id']}, {part.batch.instances[row]['positive_id']})"
        for part in scored
        for row in (~part.contrasted.losses_Q.isfinite()).nonzero().flatten().tolist()
    ]


@dataclass(frozen=True)
class Summed:
    """The sum over the workers of `step_sums`, taken apart."""

    loss: float
    tokens: float
    wishes: list[bool]
    positives: np.ndarray  # histogram [_BINS]
    negatives: np.ndarray
    masses: np.ndarray  # by source, `IN_BATCH` last
    counts: np.ndarray

    @classmethod
    def of(cls, sums: Tensor, wishes: int) -> "Summed":
        values = sums.cpu().numpy()
        rest = values[2 + wishes + 2 * _BINS :]
        positives, negatives = np.split(values[2 + wishes :][: 2 * _BINS], 2)
        masses, counts = np.split(rest, 2)
        wished = [bool(wish) for wish in values[2 : 2 + wishes]]
        return cls(float(values[0]), float(values[1]), wished, positives, negatives, masses, counts)


@dataclass
class Record:
    """Makes the rows of the metrics table, step after step."""

    sources: Sequence[str]
    operations_per_token: float  # of forward and backward once, whatever is computed twice
    peak: float | None  # operations a second of all workers' devices
    norms: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def row(self, summed: Summed, instances: int, norm: float, seconds: float) -> dict[str, Any]:
        """The columns of `schemas.METRICS` that follow from a step's sums, its gradient's norm and its time."""
        self.norms.append(norm)
        speed = summed.tokens / seconds
        masses = [
            {
                "source": source,
                "mass": summed.masses[column] / instances,
                "negatives": None if source == IN_BATCH else summed.counts[column] / instances,
            }
            for column, source in enumerate((*self.sources, IN_BATCH))
        ]
        return {
            "loss": summed.loss / instances,
            "gradient_norm": norm,
            "gradient_norm_variance": float(np.var(self.norms)),
            "queries_per_second": instances / seconds,
            "tokens_per_second": speed,
            "peak_share": None if self.peak is None else speed * self.operations_per_token / self.peak,
            "masses": masses,
            "positive_scores": _quantiles(summed.positives),
            "negative_scores": _quantiles(summed.negatives),
        }


def operations_per_token(module: torch.nn.Module) -> float:
    """6 a weight, embeddings left out: multiply and add, forward once and backward twice (Kaplan et al., 2001.08361).

    What attention adds with the square of the length is not counted.
    """
    return 6.0 * sum(weight.numel() for name, weight in module.named_parameters() if "embeddings" not in name)


def peak_of(device: torch.device) -> float | None:
    """bfloat16 operations a second of a CUDA device that is known here, else None."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in _PEAKS.items() if part in name), None)


def _histogram(scores: np.ndarray) -> np.ndarray:
    finite = scores[np.isfinite(scores)]
    return np.histogram(finite.clip(-1, 1), bins=_BINS, range=(-1, 1))[0].astype(np.float64)


def _quantiles(histogram: np.ndarray) -> list[float] | None:
    total = histogram.sum()
    if not total:
        return None
    bins = np.searchsorted(np.cumsum(histogram) / total, QUANTILES)
    return [float(-1 + (2 * place + 1) / _BINS) for place in bins]
