"""The whole configuration of a run: one frozen tree, a section a stage, and `resources`.

What a section holds enters the fingerprints of the stages that read it. Fields marked `Content` name a file, folder or
model: the fingerprint takes the digest of what they name instead of the name. Fields marked `Circumstance`, everything
under `resources`, `store` and `storage`, and the run's name stay out of every fingerprint, since they change where rows
are made, never which.
"""

from typing import Annotated

from pydantic import Field
from pydantic import model_validator as _check

from syneg.settings.adore import AdoreConfig
from syneg.settings.corpus import CorpusConfig
from syneg.settings.encoder import EncoderConfig
from syneg.settings.evaluate import EvaluateConfig
from syneg.settings.generate import GateConfig, GenerateConfig, JudgeConfig, JudgeMinedConfig
from syneg.settings.mine import Bm25Config, MineConfig
from syneg.settings.mix import MixConfig
from syneg.settings.probe import ProbeConfig
from syneg.settings.resources import ResourcesConfig
from syneg.settings.section import Section
from syneg.settings.store import StorageConfig, StoreConfig
from syneg.settings.train import TrainConfig


class RunConfig(Section):
    """One run. `syneg run` takes it from a YAML file and `section.key=value` arguments."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    store: StoreConfig = StoreConfig()
    storage: StorageConfig = StorageConfig()
    corpus: CorpusConfig
    encoder: EncoderConfig = EncoderConfig()
    generate: GenerateConfig = GenerateConfig()
    judge: JudgeConfig = JudgeConfig()
    gate: GateConfig = GateConfig()
    bm25: Bm25Config = Bm25Config()
    adore: AdoreConfig = AdoreConfig()
    mine: MineConfig = MineConfig()
    judge_mined: JudgeMinedConfig = JudgeMinedConfig()
    mix: MixConfig = MixConfig()
    probe: ProbeConfig = ProbeConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    resources: ResourcesConfig = ResourcesConfig()

    @_check(mode="after")
    def _sections_fit(self) -> "RunConfig":
        """What a section cannot check alone, since a stage reads another one as well."""
        unknown = sorted(self.mix.quotas.keys() - self.mine.samplers.keys())
        if unknown:
            raise ValueError(
                f"mix.quotas names {', '.join(unknown)}, but mine.samplers has {', '.join(self.mine.samplers)}"
            )
        if self.corpus.split is None:
            raise ValueError("corpus.split is null, so there is nothing to train on: name judgements, e.g. train")
        if (
            (self.judge.enabled or self.judge_mined.enabled)
            and self.judge.engine is None
            and not self.generate.engine.asks
        ):
            raise ValueError("the answers are recorded, so there is no LLM that could judge: give judge.engine")
        if self.judge_mined.enabled and self.judge_mined.per_sampler < self.mix.per_instance:
            raise ValueError(
                f"judge_mined.per_sampler is {self.judge_mined.per_sampler}, but an instance takes up to "
                f"{self.mix.per_instance} negatives of one sampler: give so many or, since some will not pass, more"
            )
        if self.mix.strategy == "in_batch_only" and not self.train.in_batch_negatives:
            raise ValueError("mix.strategy in_batch_only leaves no negative at all: turn train.in_batch_negatives on")
        if self.train.distillation is not None:
            if self.mine.cross_encoder is None:
                raise ValueError("train.distillation learns from a cross-encoder's scores: give mine.cross_encoder")
            if self.mix.strategy in ("synthetic_only", "in_batch_only"):
                raise ValueError(
                    f"train.distillation finds no negative with a cross-encoder's score under mix.strategy="
                    f"{self.mix.strategy}: only retrieved ones have one. Take it away, or mix retrieved negatives"
                )
        return self
