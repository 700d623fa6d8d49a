"""What a run should take and what it has taken, by simple arithmetic on rates that the config states.

Estimates, and called so wherever they are shown: rates are `resources.estimate`, sizes come from finished stages where
there are some. Nothing here is measured on a GPU.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from syneg.config.run import RunConfig
from syneg.pipeline import graph
from syneg.pipeline.stages import ONE_ROUND
from syneg.settings.mine import TRAITS
from syneg.settings.resources import EstimateConfig, ResourcesConfig, WorkerResources
from syneg.store import layout
from syneg.vectors import bytes_each

_STAGES = {stage.name: stage for stage in ONE_ROUND}


@dataclass(frozen=True)
class Sizes:
    """Rows of the collection. A None is not known yet."""

    passages: int | None = None
    queries: int | None = None  # of all splits
    training_pairs: int | None = None  # (query, relevant passage)
    test_queries: int | None = None

    @classmethod
    def of_config(cls, config: RunConfig) -> "Sizes":
        """What the config says of the collection."""
        said = config.resources.estimate
        return cls(said.passages, said.queries, said.training_pairs, said.test_queries)

    @classmethod
    def of_corpus(cls, facts: Mapping[str, Any]) -> "Sizes":
        """From the `facts` of a finished corpus."""
        queries = facts["queries"]
        return cls(facts["passages"], sum(queries.values()), facts["judgements"]["train"], queries["test"])

    @property
    def known(self) -> bool:
        return None not in (self.passages, self.queries, self.training_pairs, self.test_queries)


@dataclass(frozen=True)
class Estimate:
    """One stage: `rows` that it writes, `tokens` that an LLM reads and writes, `bytes` that it stores."""

    stage: str
    rows: int
    seconds: float
    tokens: int = 0
    bytes: int = 0
    gpus: float = 0.0
    usd: float | None = None


def held(stage: str, resources: ResourcesConfig) -> WorkerResources | None:
    """The workers that `stage`, of whichever round, runs on at its widest; None where `Stage.pool` names none.

    The encoder of a gate that looks at similarities is not counted.
    """
    known = _STAGES.get(layout.kind(stage))
    if known is None or known.pool is None:
        return None
    workers: WorkerResources = getattr(resources, known.pool)
    return workers.model_copy(update={"min_workers": 1, "max_workers": 1}) if known.one_worker else workers


def usd(seconds: Mapping[str, float], resources: ResourcesConfig) -> float | None:
    """The price of stages that took `seconds` at their widest: an upper estimate. None where no price is set."""
    prices = resources.estimate
    if prices.usd_per_gpu_hour is None:
        return None
    total = 0.0
    for stage, taken in seconds.items():
        workers = held(stage, resources)
        cpus, gpus = (workers.max_workers * workers.cpus, _gpus(workers)) if workers else (1.0, 0.0)
        total += taken / 3600 * (gpus * prices.usd_per_gpu_hour + cpus * prices.usd_per_cpu_hour)
    return round(total, 4)


def _gpus(workers: WorkerResources | None) -> float:
    return workers.max_workers * workers.gpus if workers else 0.0


def estimate(config: RunConfig, size: Sizes, stages: tuple[str, ...]) -> list[Estimate]:
    """What each of `stages` should take; those of which nothing is known are left out: all, unless `size.known`."""
    passages, queries, pairs, tested = size.passages, size.queries, size.training_pairs, size.test_queries
    if passages is None or queries is None or pairs is None or tested is None:
        return []
    job = _Job(config, passages, queries, pairs, tested)
    found = []
    for stage in stages:
        if reckon := _WORK.get(layout.kind(stage)):
            work = reckon(job)
            price = usd({stage: work.seconds}, config.resources)
            gpus = _gpus(held(stage, config.resources))
            found.append(Estimate(stage, work.rows, work.seconds, work.tokens, work.bytes, gpus, price))
    return found


@dataclass(frozen=True)
class _Work:
    rows: int
    seconds: float
    bytes: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class _Job:
    """A config and the size of its collection; a method for each stage."""

    config: RunConfig
    passages: int
    queries: int
    pairs: int
    tested: int

    @property
    def rates(self) -> EstimateConfig:
        return self.config.resources.estimate

    @property
    def written(self) -> int:
        generate = self.config.generate
        return min(generate.max_pairs or self.pairs, self.pairs) * generate.samples_per_pair

    @property
    def negatives(self) -> int:
        return self.written * self.config.generate.negatives_per_answer

    @property
    def training_queries(self) -> int:
        """At most: a dev split's are not known apart."""
        return min(self.pairs, self.queries - self.tested)

    @property
    def windows(self) -> list[int]:
        """By sampler, the candidates of a query that may become negatives."""
        return [sampler.window_end - sampler.window_start for sampler in self.config.mine.samplers.values()]

    @property
    def candidates(self) -> int:
        """At most. Ranks before a window's start are stored too, as rejected ones, unless the sampler draws from it."""
        samplers = self.config.mine.samplers.items()
        stored = sum(each.window_end - each.window_start * TRAITS[name].from_window for name, each in samplers)
        return self.training_queries * stored

    def corpus(self) -> _Work:
        rows = self.passages + self.queries + self.pairs
        return _Work(rows, rows / self.rates.rows_per_second, rows * 400)

    def generate(self) -> _Work:
        answer = min(self.rates.output_tokens, self.config.generate.max_tokens)
        tokens = self.written * (self.rates.prompt_tokens + answer)
        return _Work(self.written, self._asked(self.written, answer), self.written * answer * 4, tokens)

    def judge(self) -> _Work:
        return self._judged(self.negatives)

    def judge_mined(self) -> _Work:
        most = self.config.judge_mined.per_sampler
        return self._judged(self.training_queries * sum(min(most, window) for window in self.windows))

    def _judged(self, rows: int) -> _Work:
        """A prompt as long as the writer's, at most, and one token."""
        return _Work(rows, self._asked(rows, 1), rows * 40, rows * (self.rates.prompt_tokens + 1))

    def _asked(self, requests: int, answer_tokens: int) -> float:
        rates = self.rates
        each = rates.prompt_tokens / rates.prompt_tokens_per_second + answer_tokens / rates.output_tokens_per_second
        return rates.start_seconds + requests * each / self.config.resources.generate.max_workers

    def gate(self) -> _Work:
        return _Work(self.negatives, self.negatives / self.rates.negatives_gated_per_second, self.negatives * 400)

    def embed(self) -> _Work:
        texts = self.passages + self.queries
        seconds = texts / (self.rates.texts_encoded_per_second * self.config.resources.encode.max_workers)
        return _Work(texts, self.rates.start_seconds + seconds, texts * bytes_each(self.rates.dimensions))

    def adore(self) -> _Work:
        rates = self.rates
        each = 1 / rates.texts_trained_per_second + self.passages / rates.scores_per_second
        seconds = rates.start_seconds + (self.passages + self.queries) / rates.rows_per_second
        seconds += self.training_queries * self.config.adore.epochs * each
        return _Work(self.queries, seconds, self.queries * bytes_each(rates.dimensions))

    def mine(self) -> _Work:
        """One search for each set of vectors, one of the words, then every candidate looked at. A cross-encoder reads
        those in the windows, and the positives, whose scores are rows too."""
        mine, rates, workers = self.config.mine, self.rates, self.config.resources.mine.max_workers
        rows, scores = self.candidates, self.training_queries * self.passages
        lists, probes = mine.ivf.resolved(self.passages) if mine.index == "ivf" else (1, 1)
        seconds = len(mine.vectors) * scores * probes / lists / rates.scores_per_second
        seconds += self.passages / rates.passages_indexed_per_second / workers
        if any(TRAITS[name].words for name in mine.samplers):
            seconds += scores / rates.bm25_scores_per_second / workers
        if mine.cross_encoder is not None:
            rows += self.pairs
            seconds += (self.training_queries * sum(self.windows) + self.pairs) / rates.pairs_scored_per_second
        return _Work(rows, seconds + rows / rates.rows_per_second / workers, rows * 40)

    def gate_mined(self) -> _Work:
        return _Work(self.candidates, self.candidates / self.rates.rows_per_second, self.candidates * 40)

    def mix(self) -> _Work:
        rate = self.rates.instances_mixed_per_second * self.config.resources.mix.max_workers
        return _Work(self.pairs, self.pairs / rate, self.pairs * 400)

    def probe(self) -> _Work:
        sample = self.config.probe.sample
        return _Work(2 * sample, self.rates.start_seconds + sample / self.rates.texts_encoded_per_second)

    def train(self) -> _Work:
        texts = self.pairs * (2 + self.config.mix.per_instance) * self.config.train.epochs
        rate = self.rates.texts_trained_per_second * self.config.resources.train.max_workers
        return _Work(self.pairs, self.rates.start_seconds + texts / rate)

    def evaluate(self) -> _Work:
        """A search by the vectors of each model, base, tuned and where it is trained ADORE's, and one of the words."""
        rates, settings, scores = self.rates, self.config.evaluate, self.tested * self.passages
        models = 2 + ("adore" in graph.names(self.config))
        seconds = models * scores / rates.scores_per_second
        if settings.bm25:
            seconds += scores / rates.bm25_scores_per_second + self.passages / rates.passages_indexed_per_second
        return _Work(self.tested, seconds, self.tested * settings.depth * (models + settings.bm25) * 40)


_WORK = {
    "corpus": _Job.corpus,
    "generate": _Job.generate,
    "judge": _Job.judge,
    "gate": _Job.gate,
    "embed": _Job.embed,
    "embed_tuned": _Job.embed,
    "adore": _Job.adore,
    "mine": _Job.mine,
    "judge_mined": _Job.judge_mined,
    "gate_mined": _Job.gate_mined,
    "mix": _Job.mix,
    "probe": _Job.probe,
    "train": _Job.train,
    "evaluate": _Job.evaluate,
}
