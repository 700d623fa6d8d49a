"""What a run should take and what it has taken, by simple arithmetic on rates that the config states.

Estimates, and called so wherever they are shown: rates are `resources.estimate`, sizes come from finished stages where
there are some. Nothing here is measured on a GPU.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from syneg.config import RunConfig
from syneg.settings.resources import EstimateConfig, ResourcesConfig, WorkerResources


@dataclass(frozen=True)
class Sizes:
    """Rows of the collection. A None is not known yet."""

    passages: int | None = None
    queries: int | None = None  # of all splits
    training_pairs: int | None = None  # (query, relevant passage)
    test_queries: int | None = None


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
    """The workers that `stage` runs on at its widest; None for one that runs in the driver."""
    if stage.startswith(("generate", "judge")):
        return resources.generate
    if stage.startswith(("embed", "probe")):
        return resources.encode
    if stage.startswith("mix"):
        return resources.mix
    if stage.startswith("adore"):
        return resources.train.model_copy(update={"min_workers": 1, "max_workers": 1})
    return resources.train if stage.startswith("train") else None


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


def sizes(config: RunConfig, corpus: Mapping[str, int] | None = None) -> Sizes:
    """From a finished `corpus` where there is one, otherwise what the config says of the collection."""
    said = config.resources.estimate
    if corpus is None:
        return Sizes(said.passages, said.queries, said.training_pairs, said.test_queries)
    return Sizes(corpus["passages"], corpus["queries"], corpus["training_pairs"], corpus["test_queries"])


def estimate(config: RunConfig, size: Sizes, stages: tuple[str, ...]) -> list[Estimate]:
    """What each of `stages` should take; those of which nothing is known are left out."""
    passages, queries, pairs, tested = size.passages, size.queries, size.training_pairs, size.test_queries
    if passages is None or queries is None or pairs is None or tested is None:
        return []
    written = min(config.generate.max_pairs or pairs, pairs) * config.generate.samples_per_pair
    found = []
    for stage in stages:
        kind = stage.rstrip("_0123456789")
        if made := _estimated(kind, config, passages, queries, pairs, tested, written):
            rows, seconds, tokens, stored = made
            price = usd({kind: seconds}, config.resources)
            gpus = _gpus(held(kind, config.resources))
            found.append(Estimate(stage, rows, seconds, tokens, stored, gpus, price))
    return found


def _estimated(
    stage: str, config: RunConfig, passages: int, queries: int, pairs: int, tested: int, written: int
) -> tuple[int, float, int, int] | None:
    """Rows, seconds, tokens and bytes of one stage."""
    rates = config.resources.estimate
    if stage == "generate":
        return _generated(written, config, rates)
    if stage == "judge":
        return _judged(written * config.generate.negatives_per_answer, config, rates)
    if stage == "judge_mined":
        return _judged(pairs * len(config.mine.samplers) * config.judge_mined.per_sampler, config, rates)
    if stage in ("embed", "embed_tuned"):
        texts = passages + queries
        rate = rates.texts_encoded_per_second * config.resources.encode.max_workers
        return texts, texts / rate, 0, texts * vector_bytes(rates.dimensions)
    if stage == "probe":
        return 2 * config.probe.sample, config.probe.sample / rates.texts_encoded_per_second, 0, 0
    if stage == "adore":
        trained, looked_at = pairs * config.adore.epochs, passages + queries
        seconds = trained * (1 / rates.texts_trained_per_second + passages / rates.scores_per_second)
        return queries, seconds + looked_at / rates.rows_per_second, 0, queries * vector_bytes(rates.dimensions)
    if stage == "mine":
        rows = pairs * sum(sampler.window_end - sampler.window_start for sampler in config.mine.samplers.values())
        lists, probes = config.mine.ivf.resolved(passages) if config.mine.index == "ivf" else (1, 1)
        seconds = pairs * passages * probes / lists / rates.scores_per_second
        return rows, seconds + rows / rates.rows_per_second, 0, rows * 40
    if stage == "train":
        per_instance = 2 + config.mix.synthetic_per_instance + config.mix.retrieved_per_instance
        texts = pairs * per_instance * config.train.epochs
        return pairs, texts / (rates.texts_trained_per_second * config.resources.train.max_workers), 0, 0
    if stage == "evaluate":
        return tested, 3 * tested * passages / rates.scores_per_second, 0, tested * config.evaluate.depth * 40
    if stage in ("corpus", "gate", "mix"):
        rows = {"corpus": passages + queries + pairs, "gate": written, "mix": pairs}[stage]
        return rows, rows / rates.rows_per_second, 0, rows * 400
    return None


def _generated(written: int, config: RunConfig, rates: EstimateConfig) -> tuple[int, float, int, int]:
    answered = min(rates.output_tokens, config.generate.max_tokens)
    each = rates.prompt_tokens / rates.prompt_tokens_per_second + answered / rates.output_tokens_per_second
    tokens = written * (rates.prompt_tokens + answered)
    return written, written * each / config.resources.generate.max_workers, tokens, written * answered * 4


def vector_bytes(dimensions: int) -> int:
    """What a stored vector takes: float16, as Parquet's fixed-size binary, which does not compress."""
    return 2 * dimensions


def _judged(asked: int, config: RunConfig, rates: EstimateConfig) -> tuple[int, float, int, int]:
    """The judge reads a prompt as long as the writer's, at most, and answers with one token."""
    each = rates.prompt_tokens / rates.prompt_tokens_per_second + 1 / rates.output_tokens_per_second
    seconds = asked * each / config.resources.generate.max_workers
    return asked, seconds, asked * (rates.prompt_tokens + 1), asked * 40
