"""Plan-time checks for what would otherwise stop a run half-way: settings against each other, the content of the files
that they name, and what this machine has.

All look at `stages`, those that are asked for and not done. Settings read only by finished stages are not checked.
Only `machine` imports anything heavy: `syneg plan` asks for the others.
"""

from collections.abc import Sequence

from syneg.config.run import RunConfig
from syneg.corpus import sources
from syneg.encoder import architecture
from syneg.encoder.architecture import Architecture
from syneg.errors import BadInput
from syneg.generate import attributes
from syneg.mix import review
from syneg.settings.encoder import EncoderConfig
from syneg.settings.generate import Engine, GenerateConfig, OpenaiEngine, RecordedEngine
from syneg.settings.resources import WorkerResources
from syneg.settings.train import TrainConfig
from syneg.stage import Stage
from syneg.store import layout
from syneg.train import trackers


def settings(config: RunConfig, stages: Sequence[Stage]) -> None:
    """Settings of several sections that each stage would find out about by itself, late.

    Raises:
        BadInput: a stage would fail, or leave nothing to the next one.
    """
    kinds = _kinds(stages)
    if "mix" in kinds:
        _check_windows(config)
        _check_written(config)
    if "train" in kinds:
        _check_workers(config)
        _check_alone(config)


def inputs(config: RunConfig, stages: Sequence[Stage]) -> None:
    """What the files and models hold that the config names. That they are there is seen for the fingerprint.

    Raises:
        BadInput: a stage would refuse them, or fail by them.
        Unreachable: object storage does not let us look.
    """
    kinds = _kinds(stages)
    if any("encoder" in stage.sections for stage in stages):
        _check_encoder(config, kinds)
    if "train" in kinds and config.train.dev.every is not None and not sources.has_dev(config.corpus):
        raise BadInput(
            f"train.dev.every is {config.train.dev.every}, but the collection has no judgements of a dev split "
            f"(corpus.dev_split={config.corpus.dev_split or 'null'}). Name some by corpus.dev_split, or set "
            "train.dev.every=null."
        )
    if "mine" in kinds and (scoring := config.mine.cross_encoder) is not None:
        architecture.check_scores_pairs(scoring.model, "mine.cross_encoder.model", scoring.max_length)
    if "generate" in kinds and config.generate.attributes is not False:
        attributes.load(config.generate.attributes)
    if "mix" in kinds:
        review.load(config.mix.review)


def machine(config: RunConfig, stages: Sequence[Stage]) -> None:
    """What the machine has to have that the run starts from: keys, packages, an endpoint that can be reached, and files
    that are heavy to read.

    Raises:
        BadInput: a stage would refuse to go on without it.
    """
    kinds = _kinds(stages)
    if "generate" in kinds:
        from syneg.generate.stage import prompt_of

        prompt_of(config.generate)
        engine(config.generate.engine, "generate.engine")
    if kinds & {"judge", "judge_mined"}:
        from syneg.generate.judge import engine_of, engine_section, template

        template(config.judge)
        engine(engine_of(config.generate, config.judge), engine_section(config.judge))
    if "train" in kinds:
        trackers.check(config.resources.train)
        _check_trainable(config)


def workers(config: RunConfig, stages: Sequence[Stage]) -> None:
    """What workers ask for against a Ray that was started here: it is up, and will offer no more. (Of CPUs they take
    what there is, see `placement`.)

    Raises:
        BadInput: Ray could place no worker of a stage, and would wait for ever.
    """
    from syneg.on_ray import waiting

    for stage in stages:
        if config.resources.cluster is None and (worker := worker_of(config, stage)):
            section, offered = f"resources.{stage.pool}", waiting.nodes()
            if why := waiting.lacking(section, worker.model_copy(update={"cpus": 0.0}), offered):
                raise BadInput(
                    f"{stage.name} would wait for ever: {why} (the Ray that was started on this machine has no other). "
                    f"Change {section}, or give the address of a cluster that has it (resources.address)."
                )


def worker_of(config: RunConfig, stage: Stage) -> WorkerResources | None:
    """What one worker of the stage asks Ray for; None if it has none of its own. Whoever asks an endpoint needs no GPU,
    whatever `resources.generate` says."""
    if stage.pool is None:
        return None
    worker: WorkerResources = getattr(config.resources, stage.pool)
    if stage.pool == "generate":
        from syneg.generate.engines.asked import LIGHT

        engine = config.generate.engine if layout.kind(stage.name) == "generate" else config.judge.engine
        engine = engine or config.generate.engine
        if engine.kind == "recorded":
            return None
        if engine.kind == "openai":
            return worker.model_copy(update={"cpus": LIGHT, "gpus": 0.0, "accelerator_type": None})
    return worker


def engine(asked: Engine, section: str) -> None:
    """That the engine that `section` of the config describes can be asked: its key and address, or its file.

    Raises:
        BadInput: it cannot.
    """
    from syneg.generate.engines import endpoint, recorded

    if isinstance(asked, OpenaiEngine):
        endpoint.key(asked, section)
        endpoint.reach(asked, section)
    elif isinstance(asked, RecordedEngine):
        recorded.load(asked.path)


def _kinds(stages: Sequence[Stage]) -> set[str]:
    return {layout.kind(stage.name) for stage in stages}


def _check_trainable(config: RunConfig) -> None:
    """What not every model can do. Only where it is asked for: what looks takes seconds to import."""
    train = config.train
    if train.trained_layers is not None or train.layer_decay < 1 or train.lora or train.activation_checkpointing:
        from syneg.train import trainable

        trainable.check(config.encoder, train)


def _check_windows(config: RunConfig) -> None:
    """Filters leave fewer than the windows hold, so more than these an instance never finds."""
    mine, mix = config.mine, config.mix
    asked = {name: sampler for name, sampler in mine.samplers.items() if not mix.quotas or name in mix.quotas}
    held = sum(sampler.window_end - sampler.window_start for sampler in asked.values())
    filled = mine.least if mine.on_short == "random" else 0
    taken = mix.most_retrieved(_most_written(config.generate))
    if mix.on_short == "drop" and held + filled < taken:
        raise BadInput(
            f"mix.on_short=drop would drop instances whatever is mined: one takes up to {taken} retrieved "
            f"negatives (mix.retrieved_per_instance={mix.retrieved_per_instance}, mix.strategy={mix.strategy}), and "
            f"the windows of {', '.join(asked)} hold {held} together. Raise window_end in mine.samplers, ask for "
            "fewer, or set mix.on_short to keep or borrow."
        )


def _most_written(generate: GenerateConfig) -> int:
    """For a pair. Of recorded answers, too, none is looked up beyond `samples_per_pair`, nor read beyond
    `negatives_per_answer`."""
    return generate.samples_per_pair * generate.negatives_per_answer


def _check_written(config: RunConfig) -> None:
    generate, mix = config.generate, config.mix
    written = _most_written(generate)
    if mix.on_short == "drop" and written < mix.least_synthetic:
        raise BadInput(
            f"mix.on_short=drop would leave no instance with synthetic negatives: one takes {mix.least_synthetic} of "
            f"them (mix.strategy={mix.strategy}), and for a pair no more than {written} can be written "
            f"(generate.samples_per_pair={generate.samples_per_pair} times "
            f"generate.negatives_per_answer={generate.negatives_per_answer}). Raise one of the two, ask for fewer "
            "negatives, or set mix.on_short to keep or borrow."
        )


def _check_workers(config: RunConfig) -> None:
    size, workers = config.train.batch_size, config.resources.train.max_workers
    if size < workers:
        raise BadInput(
            f"train.batch_size is {size}, but resources.train.max_workers is {workers}, and of every batch each worker "
            "needs an instance. Raise the one or lower the other."
        )


def _check_alone(config: RunConfig) -> None:
    """An instance that has neither negatives nor others beside it teaches nothing: its loss is 0."""
    size, workers = config.train.batch_size, config.resources.train.max_workers
    apart = 1 if config.train.cross_device_negatives else workers
    if config.mix.strategy == "in_batch_only" and size // apart < 2:
        others = "" if apart == 1 else ", lower resources.train.max_workers, or set train.cross_device_negatives=true"
        raise BadInput(
            "mix.strategy=in_batch_only has no negatives but other instances' positives, and at train.batch_size="
            f"{size} with resources.train.max_workers={workers} and train.cross_device_negatives="
            f"{str(config.train.cross_device_negatives).lower()} an instance can be alone, from which nothing is "
            f"learned. Raise train.batch_size to {2 * apart} or more{others}."
        )


def _check_encoder(config: RunConfig, kinds: set[str]) -> None:
    address = config.encoder.model
    model = architecture.read(address, "encoder.model", config.encoder.trust_remote_code)
    architecture.check_pooling(address, config.encoder.pooling)
    _check_lengths(config.encoder, "encoder", model, address)
    if "train" in kinds:
        _check_lengths(config.train, "train", model, address)
        largest = max(config.train.matryoshka_dimensions, default=0)
        if model.dimensions is not None and largest > model.dimensions:
            raise BadInput(
                f"train.matryoshka_dimensions holds {largest}, but a vector of encoder.model={address} has "
                f"{model.dimensions} dimensions. Give {model.dimensions} or less."
            )


def _check_lengths(section: EncoderConfig | TrainConfig, name: str, model: Architecture, address: str) -> None:
    for key, length in (("query", section.query_max_length), ("passage", section.passage_max_length)):
        if model.tokens is not None and length > model.tokens:
            raise BadInput(
                f"{name}.{key}_max_length is {length}, but encoder.model={address} has positions for {model.tokens} "
                f"tokens. Give {model.tokens} or less."
            )
