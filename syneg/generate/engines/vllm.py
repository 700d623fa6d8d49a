"""vLLM through ray.data.llm. Its settings here are those without which it fails or loses rows; each says why."""

import json
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from ray.data import ActorPoolStrategy, Dataset

from syneg.errors import BadInput
from syneg.generate.engines.asked import AFTER, LIGHT, LIGHTLY_AFTER, Decoding, Pieces, share
from syneg.on_ray.placement import claimed_cpus, node_group, threads
from syneg.settings.generate import VllmEngine
from syneg.settings.resources import ResourcesConfig
from syneg.store import models

if TYPE_CHECKING:
    from ray.data.llm import vLLMEngineProcessorConfig

_TOKENIZER_BYTES = 512 * 2**20  # what a process with transformers in it takes
_MAX_NUM_SEQS = 256  # requests that vLLM works on at once


def answer(
    requests: Dataset,
    columns: list[str],
    decoding: Decoding,
    engine: VllmEngine,
    resources: ResourcesConfig,
    pieces: Pieces,
) -> Dataset:
    """See `syneg.generate.engine.answer`."""
    from ray.data.llm import build_processor

    # As every worker reads it: not all of them have the driver's working directory.
    engine = engine.model_copy(update={"model": models.check(engine.model, "generate.engine.model")})
    folder = str(models.servable(engine.model, "generate.engine.model"))
    sampling: dict[str, Any] = {
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        "min_p": decoding.min_p,
        "repetition_penalty": decoding.repetition_penalty,
        "max_tokens": decoding.max_tokens,
    }
    if decoding.schema:
        sampling["structured_outputs"] = {"json": json.dumps(decoding.schema)}
    processor = build_processor(
        _processor_config(folder, decoding, engine, resources, pieces),
        preprocess=partial(_with_sampling, sampling=sampling),
        preprocess_map_kwargs={"num_cpus": LIGHT},
        postprocess_map_kwargs={"num_cpus": AFTER},
    )
    workers = resources.generate
    tokenized = requests.map_batches(
        ChatTokenizer,
        fn_constructor_args=(engine, decoding, columns),
        compute=ActorPoolStrategy(min_size=1, max_size=workers.max_workers),
        num_cpus=LIGHT,
        memory=_TOKENIZER_BYTES,
        batch_size=pieces.rows,
        batch_format="pyarrow",
    )
    return processor(tokenized).map_batches(partial(_answers, decoding=decoding, columns=columns), **LIGHTLY_AFTER)


def _processor_config(
    folder: str, decoding: Decoding, engine: VllmEngine, resources: ResourcesConfig, pieces: Pieces
) -> "vLLMEngineProcessorConfig":
    from ray.data.llm import vLLMEngineProcessorConfig

    workers = resources.generate
    settings: dict[str, Any] = {
        "max_model_len": decoding.max_model_len,
        "max_num_seqs": _MAX_NUM_SEQS,
        "trust_remote_code": engine.trust_remote_code,
        # A small model pads JSON with white space without end unless the grammar forbids it.
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
    }
    cpus = claimed_cpus(workers, resources)
    bundle = {"CPU": cpus}
    # Each engine brings the model to its own node, to the folder that it has on this one.
    environment = {models.ENGINE_MODEL: engine.model, "SYNEG_CACHE": str(models.cache_folder())}
    if workers.gpus:
        ranks = engine.engine_kwargs.get("tensor_parallel_size", 1) * engine.engine_kwargs.get(
            "pipeline_parallel_size", 1
        )
        bundle = {"CPU": cpus / ranks, "GPU": workers.gpus / ranks}
    else:
        # Seeded requests with chunked prefill end the engine on a CPU ("CPU Generator does not use offset"); without
        # chunks a batch of tokens has to hold the longest prompt. bfloat16 is 4 times slower where there is no AVX-512.
        settings |= {
            "dtype": "float32",
            "enforce_eager": True,  # compiling takes a CPU two minutes, more than it saves on a small model
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(decoding.max_model_len, 2048),
        }
        # vLLM's own binding leaves one core idle for its scheduler, which is half of a laptop's two, and gives the
        # engines of one node the same cores.
        environment |= {
            "VLLM_CPU_KVCACHE_SPACE": str(resources.vllm_kv_cache_gib),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": str(threads(workers)),
            # Else the engine and its worker are two processes, and one asks all the time whether the other has ended.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        }
    settings |= engine.engine_kwargs
    return vLLMEngineProcessorConfig(
        model_source=folder,
        engine_kwargs=settings,
        batch_size=pieces.rows,
        # Enough small batches in flight to fill the engine, and one more to hide the hand-over. The limit of tasks in
        # flight is left to Ray's default: lowered to the same number, the pool never scales up.
        max_concurrent_batches=min(settings["max_num_seqs"] // pieces.rows + 1, pieces.at_once),
        concurrency=(workers.min_workers, workers.max_workers),
        accelerator_type=workers.accelerator_type,
        placement_group_config={"bundle_per_worker": bundle | node_group(workers)},
        runtime_env={"env_vars": environment},
        chat_template_stage=False,
        tokenize_stage=False,
        detokenize_stage=False,
        should_continue_on_error=True,
        log_engine_metrics=False,
    )


class ChatTokenizer:
    """Messages to token ids, by the model's own chat template.

    vLLM would take the rendered text too, but then puts a second begin-of-text before the one that many templates hold.
    """

    def __init__(self, engine: VllmEngine, decoding: Decoding, columns: list[str]) -> None:
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(
            models.servable(engine.model), trust_remote_code=engine.trust_remote_code
        )
        self._template_kwargs = engine.chat_template_kwargs
        self._columns = columns
        spellings = [form for word in decoding.choices or () for form in (word, word.lower(), word.upper())]
        tokens = [self._tokenizer.encode(form, add_special_tokens=False) for form in spellings]
        self._choices = sorted({ids[0] for ids in tokens if len(ids) == 1})
        if decoding.choices and len(self._choices) < 2:
            raise BadInput(f"{engine.model} has no single token for each of {decoding.choices}, so it cannot judge.")

    def __call__(self, batch: pa.Table) -> pa.Table:
        tokens = self._tokenizer.apply_chat_template(
            batch["messages"].to_pylist(),
            tokenize=True,
            add_generation_prompt=True,
            return_dict=False,
            **self._template_kwargs,
        )
        # Of the other columns only these: ray.data.llm takes one named "model" for the name of a LoRA adapter.
        ids = pa.list_(pa.int32())
        return (
            batch.select(list(dict.fromkeys([*self._columns, "seed"])))
            .append_column("tokenized_prompt", pa.array(tokens, ids))
            .append_column("choices", pa.array([self._choices] * batch.num_rows, ids))
        )


def _with_sampling(row: dict[str, Any], sampling: dict[str, Any]) -> dict[str, Any]:
    ids = [int(token) for token in row["choices"]]
    choices = {"allowed_token_ids": ids, "logprob_token_ids": ids} if ids else {}
    return {"sampling_params": sampling | {"seed": row["seed"]} | choices}


def _answers(batch: pa.Table, decoding: Decoding, columns: list[str]) -> pa.Table:
    """The processor's rows as answers.

    It drops vLLM's finish reason, so that is told from the counts. An error row has the other rows' columns only as
    long as there is no postprocess function, which is why there is none.
    """
    texts, inputs, outputs = batch["generated_text"], batch["num_input_tokens"], batch["num_generated_tokens"]
    errors = [error or None for error in batch["__inference_error__"].to_pylist()]
    reasons, asked_at, seconds, cached = [], [], [], []
    for error, metrics, read, written in zip(
        errors, batch["metrics"].to_pylist(), inputs.to_pylist(), outputs.to_pylist(), strict=True
    ):
        cut = written >= decoding.max_tokens or read + written >= decoding.max_model_len
        reasons.append("error" if error else "length" if cut else "stop")
        asked_at.append(metrics["arrival_time"] if metrics else None)
        cached.append(metrics.get("num_cached_tokens") if metrics else None)  # told by plugin.py
        # Wall-clock when it came in, then the engine's own clock: waiting for the rest of a batch does not count.
        seconds.append(metrics["last_token_ts"] - metrics["queued_ts"] if metrics else None)
    return pa.table(
        {name: batch[name] for name in columns}
        | {
            "answer": texts,
            "finish_reason": pa.array(reasons, pa.string()),
            "error": pa.array(errors, pa.string()),
            "input_tokens": inputs.cast(pa.int32()),
            "output_tokens": outputs.cast(pa.int32()),
            "cached_tokens": pa.array(cached, pa.int32()),
            "probability": pa.array(_probabilities(batch, decoding), pa.float32()),
            "asked_at": pa.array(asked_at, pa.float64()),
            "seconds": pa.array(seconds, pa.float32()),
        }
    )


def _probabilities(batch: pa.Table, decoding: Decoding) -> list[float | None]:
    """Of the first choice, from the log-probabilities of the only token: {token id: {logprob, decoded_token}}."""
    if decoding.choices is None:
        return [None] * batch.num_rows
    found = []
    for positions in batch["logprobs"].to_pylist():
        tokens = dict(positions[0]).values() if positions else ()
        found.append(share({token["decoded_token"]: math.exp(token["logprob"]) for token in tokens}, decoding.choices))
    return found
