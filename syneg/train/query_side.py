"""ADORE's training: the query encoder learns against passage vectors that stay as they are (arXiv 2104.08051)."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Recipe
from syneg.errors import StageFailed
from syneg.ids import rows_of
from syneg.positives import RELEVANT, by_text, of_split
from syneg.settings.adore import AdoreConfig
from syneg.settings.encoder import EncoderConfig
from syneg.settings.train import TrainConfig
from syneg.stage import Source
from syneg.store import files
from syneg.train.batches import Order
from syneg.train.checkpoint import put_whole
from syneg.train.frozen import FrozenPassages
from syneg.train.learning_rate import learning_rate
from syneg.train.loss import lambda_mrr
from syneg.train.trainable import adamw
from syneg.vectors import pack

_CUT = 10  # of the reciprocal rank that a step tells
_TOLD = 50  # points of a curve in the facts


@dataclass(frozen=True)
class TrainingQueries:
    """Q training queries with a positive, in the order of their ids."""

    texts: list[str]
    positives: list[np.ndarray]  # by query, rows of the passages that answer it
    answers: list[np.ndarray]  # these, every passage of the same normalised text, and the query's own passage

    @classmethod
    def read(cls, tables: Mapping[str, Source], passages: FrozenPassages) -> "TrainingQueries":
        trained, judged = of_split(tables, "train")
        judged = judged.filter(RELEVANT).sort_by([("query_id", "ascending"), ("passage_id", "ascending")])
        query = rows_of(judged["query_id"], trained["query_id"])  # both in the order of ids
        starts = np.searchsorted(query, np.arange(1, trained.num_rows))
        positives = np.split(rows_of(judged["passage_id"], passages.ids), starts)
        texts = trained["text"].to_pylist()
        found = [[rows] for rows in passages.of_queries(trained["query_id"], texts)]
        answered = by_text(trained, judged)
        same = passages.same_texts(answered["passage_id"].combine_chunks())
        for place, rows in zip(rows_of(answered["query_id"], trained["query_id"]), same, strict=True):
            found[place].append(rows)
        return cls(texts, positives, [np.unique(np.concatenate(rows)) for rows in found])


@dataclass(frozen=True)
class Searched:
    """One step: what was searched with which vectors, before the step changed the encoder."""

    number: int
    queries: np.ndarray  # int64 [B]: rows of the training queries
    vectors_BD: np.ndarray  # float32
    negatives_BK: np.ndarray  # int64 rows of the passages, best first; -1 where the corpus has no more
    loss: float
    reciprocal_rank: float  # of the best positive among the first 10, as a mean; 0 beyond
    within: float  # share of the queries with a positive that scores at least as high as the last negative


@dataclass(frozen=True)
class QuerySide:
    """What a training needs, all of it on this machine."""

    encoder: Encoder
    passages: FrozenPassages
    queries: TrainingQueries
    adore: AdoreConfig

    @property
    def order(self) -> Order:
        return Order(len(self.queries.texts), self.adore.batch_size, self.adore.seed)

    @property
    def steps(self) -> int:
        return self.order.steps_per_epoch * self.adore.epochs

    def train(self) -> Iterator[Searched]:
        """Every step, after it was taken. Order and dropout follow from seed, epoch and step.

        As in the released code the vectors that are searched with are those that the gradient is of, dropout included.

        Raises:
            StageFailed: the encoder's vectors are not finite numbers.
        """
        adore = self.adore
        optimizer = adamw(self.encoder, TrainConfig(learning_rate=adore.learning_rate, weight_decay=adore.weight_decay))
        self.encoder.train()
        for number in range(self.steps):
            (state,) = np.random.SeedSequence([adore.seed, number]).generate_state(1, np.uint64)
            torch.manual_seed(int(state))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(number, self.steps, adore.learning_rate, adore.warmup_ratio)
            searched, loss = self._forward(number)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), adore.gradient_clipping)
            optimizer.step()
            yield searched
        self.encoder.eval()

    def _forward(self, number: int) -> tuple[Searched, Tensor]:
        rows = self.order.rows(number)
        queries_BD = self.encoder(self.encoder.features([self.queries.texts[row] for row in rows], "query")).float()
        vectors_BD = queries_BD.detach().cpu().numpy()
        if not np.isfinite(vectors_BD).all():
            raise StageFailed(
                f"adore: step {number + 1} of {self.steps}: the encoder's vectors are not finite numbers any more. "
                "Lower adore.learning_rate, or raise adore.temperature."
            )
        negatives_BK = self.search(vectors_BD, rows)
        positives_BJ = _padded([self.queries.positives[row] for row in rows])
        known_BJ, found_BK = (torch.from_numpy(places >= 0) for places in (positives_BJ, negatives_BK))
        scores_BJ, scores_BK = (self._scores(queries_BD, places).cpu() for places in (positives_BJ, negatives_BK))
        adore = self.adore
        loss = lambda_mrr(scores_BJ, scores_BK, known_BJ, found_BK, adore.top_k, adore.temperature).mean()
        best_B1 = scores_BJ.detach().masked_fill(~known_BJ, -torch.inf).amax(dim=1, keepdim=True)
        before_B = (scores_BK.detach().masked_fill(~found_BK, -torch.inf) > best_B1).sum(dim=1)
        ranked = torch.where(before_B < _CUT, 1 / (before_B + 1), 0.0).mean()
        within = (before_B < max(1, negatives_BK.shape[1])).float().mean()
        return Searched(number, rows, vectors_BD, negatives_BK, loss.item(), ranked.item(), within.item()), loss

    def search(self, queries_BD: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The `top_k` passages that answer none of these queries, exactly, over all passages: int64 [B, K]."""
        answers = [self.queries.answers[row] for row in rows]
        ranked = self.passages.nearest(queries_BD, self.adore.top_k + max(map(len, answers)))
        return _padded([row[~np.isin(row, own)][: self.adore.top_k] for row, own in zip(ranked, answers, strict=True)])

    def _scores(self, queries_BD: Tensor, places_BC: np.ndarray) -> Tensor:
        """Cosines [B, C]; where there is no passage they mean nothing."""
        vectors_BCD = torch.from_numpy(self.passages.vectors_PD[np.maximum(places_BC, 0)].astype(np.float32))
        return torch.einsum("bd,bcd->bc", queries_BD, vectors_BCD.to(queries_BD.device))


def _padded(rows: Sequence[np.ndarray]) -> np.ndarray:
    """int64 [B, longest], shorter ones ending in -1."""
    padded = np.full((len(rows), max(map(len, rows))), -1, np.int64)
    for place, own in enumerate(rows):
        padded[place, : len(own)] = own
    return padded


@dataclass
class Curves:
    """What the steps told, for the manifest. Progress shows in the reciprocal rank: the loss need not fall, since its
    weights and its negatives change with every step."""

    loss: list[float] = field(default_factory=list)
    reciprocal_rank: list[float] = field(default_factory=list)
    within: list[float] = field(default_factory=list)

    def add(self, step: Searched) -> None:
        self.loss.append(step.loss)
        self.reciprocal_rank.append(step.reciprocal_rank)
        self.within.append(step.within)

    def facts(self) -> dict[str, Any]:
        """Means over at most 50 stretches of equal length; `first` and `last` over a tenth of the steps."""
        curves = {"loss": self.loss, "mrr_at_10": self.reciprocal_rank, "positive_in_top_k": self.within}
        tenth = max(1, len(self.loss) // 10)
        return {
            name: {
                "first": round(float(np.mean(values[:tenth])), 5),
                "last": round(float(np.mean(values[-tenth:])), 5),
                "steps": [round(float(part.mean()), 5) for part in np.array_split(values, min(_TOLD, len(values)))],
            }
            for name, values in curves.items()
        }


def train(
    tables: Mapping[str, Source],
    model: str,
    attempt: str,
    encoder: EncoderConfig,
    adore: AdoreConfig,
    tell: Callable[[str], None],
) -> tuple[pa.Table, str, dict[str, Any]]:
    """Trains from the folder `model`; called on the worker.

    Returns:
        The vectors of all queries (`schemas.vectors`), the address of the query encoder's folder in the store, facts.

    Raises:
        StageFailed: there is nothing to train on, or the encoder's vectors are not finite numbers.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="syneg-adore-") as folder:
        tell("reading the passages' vectors")
        passages = FrozenPassages.read(tables["passages"], tables["passage_vectors"], Path(folder))
        queries = TrainingQueries.read(tables, passages)
        if not queries.texts:
            raise StageFailed("adore: no training query has a relevant passage, so there is nothing to train on.")
        learner = Encoder.load(model, Recipe.of(encoder), trust_remote_code=encoder.trust_remote_code)
        side, curves = QuerySide(learner, passages, queries, adore), Curves()
        for step in side.train():
            curves.add(step)
            done, mrr = step.number + 1, f"MRR@{_CUT} {step.reciprocal_rank:.3f}"
            tell(f"step {done:,}/{side.steps:,}  loss {step.loss:.4f}  {mrr}")
        encoded = [_encoded(learner, block) for block in tables["queries"].blocks(["query_id", "text"])]
        learner.save(Path(folder) / "model")
        address = put_whole(Path(folder) / "model", files.join(attempt, f"query-encoder-{time.time_ns()}"))
    facts = {
        "training_queries": len(queries.texts),
        "passages": len(passages.ids),
        "top_k": adore.top_k,
        "device": learner.device.type,
        "seconds": round(time.monotonic() - began, 3),
    }
    return pa.concat_tables(encoded), address, facts | curves.facts()


def _encoded(encoder: Encoder, queries: pa.Table) -> pa.Table:
    vectors = pack(encoder.encode(queries["text"].to_pylist(), "query"))
    return pa.table({"id": queries["query_id"], "vector": vectors})
