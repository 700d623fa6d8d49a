"""What a person probably meant by a key that no section has: looked for by its last name in all sections first.

How like two names look says little about what they mean (lr and lora), so that comes last, for what may be a slip.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel

from syneg.settings.section import kind_of, sections_in, values_in

_ANY_NAME = "NAME"  # stands for a name of the person's own or of a sampler: mine.samplers.NAME.window_end
_SHOWN = 3
_LONGEST_LIST = 200  # characters of a section's keys that still help in a line
_SLIP = 0.78  # likeness of two names, above that of gpus and cpus

# Names that people know from other tools: transformers and sentence-transformers, vLLM, FlagEmbedding, Tevatron, peft.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "lr": ("train.learning_rate", "adore.learning_rate"),
    "num_train_epochs": ("train.epochs",),
    "num_epochs": ("train.epochs",),
    "n_epochs": ("train.epochs",),
    "per_device_train_batch_size": ("train.batch_size",),
    "train_batch_size": ("train.batch_size",),
    "per_device_eval_batch_size": ("resources.encode.batch_rows",),
    "eval_batch_size": ("resources.encode.batch_rows",),
    "mini_batch_size": ("train.chunk_size",),
    "gradient_accumulation_steps": ("train.chunk_size",),
    "gradient_checkpointing": ("train.activation_checkpointing",),
    "max_grad_norm": ("train.gradient_clipping",),
    "warmup_steps": ("train.warmup_ratio",),
    "warmup": ("train.warmup_ratio",),
    "save_steps": ("resources.train.checkpoint_steps",),
    "save_strategy": ("resources.train.checkpoint_steps", "resources.train.checkpoint_seconds"),
    "eval_steps": ("train.dev.every",),
    "eval_strategy": ("train.dev.every",),
    "evaluation_strategy": ("train.dev.every",),
    "early_stopping_patience": ("train.dev.patience",),
    "report_to": ("resources.train.trackers",),
    "bf16": ("train.dtype", "encoder.dtype"),
    "fp16": ("train.dtype", "encoder.dtype"),
    "scale": ("train.temperature",),
    "tau": ("train.temperature",),
    "matryoshka_dims": ("train.matryoshka_dimensions",),
    "negatives_x_device": ("train.cross_device_negatives",),
    "negatives_cross_device": ("train.cross_device_negatives",),
    "kd_loss": ("train.distillation",),
    "lora_r": ("train.lora.rank",),
    "lora_rank": ("train.lora.rank",),
    "lora_alpha": ("train.lora.alpha",),
    "lora_dropout": ("train.lora.dropout",),
    "deepspeed": ("train.zero_stage",),
    "max_length": ("encoder.passage_max_length", "train.passage_max_length"),
    "max_seq_length": ("encoder.passage_max_length", "train.passage_max_length"),
    "query_max_len": ("encoder.query_max_length", "train.query_max_length"),
    "passage_max_len": ("encoder.passage_max_length", "train.passage_max_length"),
    "query_prefix": ("encoder.query_prompt",),
    "query_instruction": ("encoder.query_prompt",),
    "query_instruction_for_retrieval": ("encoder.query_prompt",),
    "passage_prefix": ("encoder.passage_prompt",),
    "pooling_mode": ("encoder.pooling",),
    "pooling_method": ("encoder.pooling",),
    "sentence_pooling_method": ("encoder.pooling",),
    "passage_instruction_for_retrieval": ("encoder.passage_prompt",),
    "model_name": ("encoder.model", "generate.engine.model"),
    "model_name_or_path": ("encoder.model", "generate.engine.model"),
    "base_model": ("encoder.model",),
    "llm": ("generate.engine.model",),
    "api_base": ("generate.engine.base_url",),
    "openai_api_base": ("generate.engine.base_url",),
    "tensor_parallel_size": ("generate.engine.engine_kwargs.tensor_parallel_size",),
    "gpu_memory_utilization": ("generate.engine.engine_kwargs.gpu_memory_utilization",),
    "max_new_tokens": ("generate.max_tokens",),
    "concurrency": ("generate.engine.limits.max_in_flight",),
    "train_group_size": ("mix.retrieved_per_instance", "mix.synthetic_per_instance"),
    "num_negatives": ("mix.retrieved_per_instance", "mix.synthetic_per_instance"),
    "num_hard_negatives": ("mix.retrieved_per_instance", "mix.synthetic_per_instance"),
    "range_min": ("mine.samplers.NAME.window_start",),
    "range_max": ("mine.samplers.NAME.window_end",),
    "range_for_sampling": ("mine.samplers.NAME.window_start", "mine.samplers.NAME.window_end"),
    "margin": ("mine.samplers.NAME.relative_margin", "mine.samplers.NAME.absolute_margin"),
    "metrics": ("evaluate.measures",),
    "output_dir": ("store.root",),
    "data_path": ("corpus.path",),
    "corpus_path": ("corpus.path",),
    "dataset": ("corpus.path",),
    "run_name": ("name",),
    "num_gpus": ("resources.generate.gpus", "resources.encode.gpus", "resources.train.gpus"),
    "num_workers": ("resources.encode.max_workers", "resources.mine.max_workers", "resources.train.max_workers"),
}


def hint(model: type[BaseModel], section: type[BaseModel], names: Sequence[str], value: Any) -> str:
    """What to do about the key `names` of a `model`, whose last name its `section` does not know; it holds `value`."""
    *parents, name = names
    if advice := about_key(".".join(names)):
        return advice
    if "." in name:
        return _nested(parents, name, section)
    if kinds := [kind for kind in _keys_of(model).get(".".join(names), ()) if kind]:
        return f"it belongs to kind {' or '.join(kinds)}: give {'.'.join([*parents, 'kind'])}={kinds[0]} as well."
    found = _meant(model, section, parents, name)
    if not found and isinstance(value, Mapping) and value:  # a section that there is not, with what there may be
        found = _meant(model, section, parents, str(next(iter(value))))
    if found:
        return f"did you mean {_either(found)}?"
    keys = ", ".join(section.model_fields)
    if len(keys) <= _LONGEST_LIST:
        return f"expected one of {keys}."
    return f"its section's keys stand in {section.__module__.replace('.', '/')}.py."


def about_key(key: str) -> str | None:
    """What to say of an engine's key, which is a secret that has no place in a config."""
    *parents, name = key.split(".")
    if name not in ("api_key", "openai_api_key", "api-key") or "engine" not in parents:
        return None
    engine = ".".join(parents[: parents.index("engine") + 1])
    return (
        f"{engine}.api_key_env (kind openai) takes the NAME of an environment variable, e.g. OPENAI_API_KEY; the key "
        "itself belongs in the environment."
    )


def likely(word: str, names: Sequence[str]) -> str:
    """ "did you mean bm25? " where one of `names` looks like `word`; else nothing."""
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean {near[0]}? " if near else ""


def _nested(parents: Sequence[str], name: str, section: type[BaseModel]) -> str:
    outer, *inner = name.split(".")
    if outer not in section.model_fields and "settings" in section.model_fields:
        return f"what all arms have in common stands under `settings:`, as {name}: ..."
    nested = "".join(f"{{{part}: " for part in inner) + "..." + "}" * len(inner)
    return f"nest it, as `{'.'.join([*parents, outer])}: {nested}`: in a file a dot joins no names."


def _meant(model: type[BaseModel], section: type[BaseModel], parents: Sequence[str], name: str) -> list[str]:
    """Full keys, the likeliest first."""
    exact = sorted((key for key in _keys_of(model) if key.rpartition(".")[2] == name), key=lambda key: key.count("."))
    if parents:
        near = [key for key in exact if key.startswith(f"{parents[0]}.")]
        if near := near or [key for key in exact if parents[-1] in key.split(".")]:
            return near
    known = [key for key in ALIASES.get(name, ()) if key.partition(".")[0] in model.model_fields]
    same = [key for key in known if parents and parents[0] in key.split(".")]
    if found := same or known or exact:
        return found
    slips = difflib.get_close_matches(name, section.model_fields, n=1, cutoff=_SLIP)
    return [".".join([*parents, slip]) for slip in slips]


def _either(keys: Sequence[str]) -> str:
    *others, last = keys[:_SHOWN]
    if len(keys) > _SHOWN:
        return f"{', '.join([*others, last])}, ..."
    return f"{', '.join(others)} or {last}" if others else last


@cache
def _keys_of(model: type[BaseModel]) -> Mapping[str, list[str | None]]:
    """Every key below a `model`, sections' own among them, and the kinds of section that have it."""
    found: dict[str, list[str | None]] = {}
    for key, kind in _walk(model, ""):
        found.setdefault(key, []).append(kind)
    return found


def _walk(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, str | None]]:
    for name, field in section.model_fields.items():
        key = f"{prefix}{name}"
        yield key, kind_of(section)
        for inner in sections_in(field.annotation):
            yield from _walk(inner, f"{key}.")
        for inner in sections_in(values_in(field.annotation)):
            yield from _walk(inner, f"{key}.{_ANY_NAME}.")
