"""Fine-tuning."""

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator
from pydantic import model_validator as _check

from syneg.settings.section import Section, Share


class DevConfig(Section):
    """nDCG@10 on the dev split while training. The best of the models that were looked at is the one that is kept;
    the one that training began with counts among them.

    The passages that are ranked are the whole corpus, or for speed a mined part of it: what the base model ranks
    highest for each dev query, and the judged ones. Scores over a part are higher than those over the corpus.
    """

    every: PositiveInt | None = None  # steps between two looks, and one after the last step; None: never
    passages: Literal["corpus", "mined"] = "mined"
    depth: PositiveInt = 50  # with `mined`: passages a query
    max_queries: PositiveInt | None = 500  # in the order of a hash
    patience: PositiveInt | None = None  # looks without a better one after which training ends; None: to the end
    # LM-Cocktail (2311.13534): weights of the tuned model in a sum with the base, of which the best on dev is taken. If
    # no look was better than the base, the tuned model is the last one.
    merge_weights: Annotated[tuple[Share, ...], Field(strict=False)] = ()

    def decides_rows(self) -> bool:
        return self.every is not None


class LoraConfig(Section):
    """Low-rank adaptation (2106.09685) through peft, folded into the weights at the end."""

    rank: PositiveInt = 16
    alpha: PositiveFloat = 32.0
    dropout: Share = 0.0
    target_modules: Annotated[tuple[str, ...], Field(strict=False)] = ()  # names of linear layers; (): all of them


class DistillationConfig(Section):
    """Learning from a cross-encoder too: InfoNCE plus `weight` times KL(teacher || student), each a softmax over an
    instance's own positive and negatives (RocketQAv2, 2110.07367, with a frozen teacher).

    The teacher's scores are those that `mine.cross_encoder` left. A synthetic or borrowed negative, or one that
    `mine.on_short` drew, has none and stays out of both softmaxes; it takes part in InfoNCE all the same.
    """

    weight: PositiveFloat = 1.0
    temperature: PositiveFloat = 1.0  # of the teacher's logits; the student's is `train.temperature`


class TrainConfig(Section):
    """InfoNCE (arXiv 2412.17250, phase 3). `batch_size` counts instances over all workers."""

    epochs: PositiveInt = 1
    batch_size: PositiveInt = 32
    # Encoded at once under gradient caching, at most: texts, and tokens with padding. No limit on tokens: None.
    chunk_size: PositiveInt = 32
    chunk_tokens: PositiveInt | None = None
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-5  # AdamW moves a weight by about so much a step
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0  # a layer's learning rate over that of the layer above it
    weight_decay: NonNegativeFloat = 0.01
    warmup_ratio: Share = 0.1
    gradient_clipping: PositiveFloat = 1.0
    temperature: PositiveFloat = 0.05
    in_batch_negatives: bool = False
    cross_device_negatives: bool = False
    both_directions: bool = False  # the positives look for their queries too; the loss is the mean of the two
    false_negative_margin: NonNegativeFloat | None = None  # leaves out in-batch negatives that score above s+ plus it
    distillation: DistillationConfig | None = None
    matryoshka_dimensions: Annotated[tuple[PositiveInt, ...], Field(strict=False)] = ()  # beside the model's own
    trained_layers: NonNegativeInt | None = (
        None  # the last ones, by number; 0: only what follows them; None: everything
    )
    lora: LoraConfig | None = None
    activation_checkpointing: bool = False  # less memory, a third forward pass
    query_max_length: PositiveInt = 64  # in tokens; mining and evaluation have the encoder's
    passage_max_length: PositiveInt = 128
    dtype: Literal["float32", "bfloat16"] | None = None  # computed in; None: bfloat16 on CUDA, float32 on a CPU
    zero_stage: Literal[0, 1, 2] | None = 1  # None: without DeepSpeed
    dev: DevConfig = DevConfig()
    seed: NonNegativeInt = 0

    @field_validator("zero_stage", mode="before")
    @classmethod
    def _keeps_whole_weights(cls, stage: Any) -> Any:
        if stage == 3:
            raise ValueError(
                "stage 3 shares out the weights, which gradient caching would have to gather twice for every chunk, "
                "and what it saves an encoder does not need: give 2 or less"
            )
        return stage

    @_check(mode="after")
    def _negatives_agree(self) -> "TrainConfig":
        if self.cross_device_negatives and not self.in_batch_negatives:
            raise ValueError("cross_device_negatives widens in_batch_negatives, which is off: turn both on")
        for name, off in {"both_directions": False, "false_negative_margin": None}.items():
            if getattr(self, name) is not off and not self.in_batch_negatives:
                raise ValueError(f"{name} is about in_batch_negatives, which is off: turn both on")
        return self

    @_check(mode="after")
    def _parts_agree(self) -> "TrainConfig":
        if self.lora is not None and (self.trained_layers is not None or self.layer_decay < 1):
            raise ValueError("lora trains every layer by itself: leave out trained_layers and layer_decay")
        if self.dev.every is None and (self.dev.patience is not None or self.dev.merge_weights):
            raise ValueError("dev.patience and dev.merge_weights go by scores on dev: give dev.every")
        return self
