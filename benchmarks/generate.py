"""The generation stage against bare `vllm.LLM.chat`: the same prompts, grammar and sampling, engine start excluded.

    python benchmarks/generate.py [REQUESTS] [TOKENS]

Output tokens per second of both, the grammar's cost, the prefix cache's hit rate and the rate of both layouts, and what
rendering and gating take. The bare engine runs before and after the stage, and the median counts. All three start anew
and get the requests at once, so what an engine does for its first request (compiling the grammar) counts for both. The
grammar and the layouts are compared on a quarter of the requests. On a CPU the defaults are few requests, so that it
ends in minutes; the claim is for 256, which took two cores half an hour.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ["OMP_NUM_THREADS"] = "2"  # of both engines, on a CPU: WorkerResources(cpus=2.0) below
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

import pyarrow as pa
import ray.data
import torch

from syneg.cluster import session
from syneg.generate import writing
from syneg.generate.gate import reject_reason
from syneg.generate.requests import REQUEST, RequestMaker, in_pieces
from syneg.generate.spending import Spent
from syneg.generate.stage import lists_of, prompt_of
from syneg.keyset import KeySet
from syneg.settings.generate import GateConfig, GenerateConfig, VllmEngine
from syneg.settings.resources import ResourcesConfig, WorkerResources
from syneg.settings.store import StorageConfig
from syneg.stage import Context
from syneg.store import models

TARGET = 0.95
CUDA = torch.cuda.is_available()


def settings(tokens: int, layout: str = "published") -> GenerateConfig:
    return GenerateConfig.model_validate(
        {
            "attributes": "configs/attributes/stdlib.yaml",
            "layout": layout,
            "max_tokens": tokens,
            "max_model_len": 2048,
            "max_reasoning_chars": 120,
            "min_negative_chars": 80,
            "max_negative_chars": 4 * tokens,
            "temperature": 0.7,
            "top_p": 1.0,
            "max_positive_words": 60,
        }
    )


def requests(count: int, generate: GenerateConfig) -> pa.Table:
    """Pairs of the standard library: documents are real, of uneven length."""
    from syneg.corpus.stage import run
    from syneg.settings.corpus import CorpusConfig

    with tempfile.TemporaryDirectory() as scratch:
        output = run_tables(run, CorpusConfig(source="stdlib", max_queries=count), Path(scratch))
    texts = {row["passage_id"]: row["text"] for row in output["passages"]}
    queries = {row["query_id"]: row["text"] for row in output["queries"] if row["split"] == "train"}
    maker = RequestMaker(generate, lists_of(generate), "", "")
    rows = [
        request
        for row in output["qrels"]
        if row["query_id"] in queries
        for request in maker.requests(
            {
                "query_id": row["query_id"],
                "query": queries[row["query_id"]],
                "positive_id": row["passage_id"],
                "positive": texts[row["passage_id"]],
                "example": "",
            }
        )
    ][:count]
    return pa.Table.from_pylist(sorted(rows, key=maker.shared), REQUEST)


def run_tables(stage: Any, corpus: Any, scratch: Path) -> dict[str, list[dict[str, Any]]]:
    from syneg.stage import Inputs

    made = stage(Inputs({}), Context(ResourcesConfig(), scratch), corpus=corpus).tables
    blocks = {name: [rows] if isinstance(rows, pa.Table) else list(rows) for name, rows in made.items()}
    return {name: [row for block in parts for row in block.to_pylist()] for name, parts in blocks.items()}


class Bare:
    """`vllm.LLM` with the stage's engine settings. Only one engine at a time: a GPU has no room for two."""

    def __init__(self, generate: GenerateConfig) -> None:
        import vllm

        engine: dict[str, Any] = {
            "model": str(models.servable(VllmEngine().model)),
            "max_model_len": generate.max_model_len,
            "max_num_seqs": 256,
            "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        }
        if not CUDA:
            engine |= {
                "dtype": "float32",
                "enforce_eager": True,
                "enable_chunked_prefill": False,
                "max_num_batched_tokens": max(generate.max_model_len, 2048),
            }
        self._llm = vllm.LLM(**engine)

    def close(self) -> None:
        self._llm.llm_engine.engine_core.shutdown()

    def rate(self, rows: pa.Table, generate: GenerateConfig, grammar: bool = True) -> tuple[float, float]:
        """Output tokens per second, and the share of the input that the prefix cache held."""
        import vllm
        from vllm.sampling_params import StructuredOutputsParams

        decoding = writing.decoding(generate)
        rendered = writing.render(rows, prompt_of(generate), generate.seed)["messages"].to_pylist()
        form = StructuredOutputsParams(json=json.dumps(decoding.schema)) if grammar else None
        sampling = [
            vllm.SamplingParams(
                temperature=decoding.temperature,
                top_p=decoding.top_p,
                max_tokens=decoding.max_tokens,
                seed=seed,
                structured_outputs=form,
                ignore_eos=not grammar,  # without a grammar a small model stops at once, and that would be no measure
            )
            for seed in rows["seed"].to_pylist()
        ]
        self._llm.reset_prefix_cache()
        began = time.perf_counter()
        outputs = self._llm.chat(rendered, sampling, use_tqdm=False)
        seconds = time.perf_counter() - began
        read = sum(len(output.prompt_token_ids or ()) for output in outputs)
        cached = sum(output.num_cached_tokens or 0 for output in outputs)
        return sum(len(output.outputs[0].token_ids) for output in outputs) / seconds, cached / read


def staged(rows: pa.Table, generate: GenerateConfig) -> tuple[float, pa.Table]:
    """Output tokens per second of the stage from the first request that its engine gets to the last answer."""
    from syneg.generate.survey import busy_seconds

    workers = WorkerResources(cpus=2.0, gpus=1.0 if CUDA else 0.0, batch_rows=16)
    resources = ResourcesConfig(generate=workers, object_store_gib=0.5)
    maker = RequestMaker(generate, lists_of(generate), "", "")
    with session.joined(resources, StorageConfig()), tempfile.TemporaryDirectory() as scratch:
        made = in_pieces(ray.data.from_arrow(rows), workers.batch_rows)
        found = writing.answers(
            lambda done: made,
            KeySet(),
            rows.num_rows,
            prompt_of(generate),
            maker,
            Spent(),
            Context(resources, Path(scratch)),
        )
        answers = pa.concat_tables(found)
    starts = answers["asked_at"].to_numpy()
    import numpy as np

    busy = busy_seconds(np.stack([starts, starts + answers["seconds"].to_numpy()], axis=1))
    return sum(answers["output_tokens"].to_pylist()) / busy, answers


def beside(rows: pa.Table, answers: pa.Table, generate: GenerateConfig) -> float:
    """Seconds of one core that rendering and gating take."""
    from syneg.generate.answers import Answer, parse

    first = answers.slice(0, 1).to_pylist()[0]
    reject_reason(first["answer"], first["query"], first["positive"], GateConfig())  # loads what it loads once
    began = time.process_time()
    writing.render(rows, prompt_of(generate), generate.seed)
    for row in answers.to_pylist():
        for found in parse(row["answer"], row["finish_reason"], reflection=True):
            if isinstance(found, Answer):
                reject_reason(found.hard_negative, row["query"], row["positive"], GateConfig(), row["length"])
    return time.process_time() - began


def main() -> None:
    count, tokens = [int(value) for value in sys.argv[1:]] or ((256, 256) if CUDA else (48, 48))
    generate, first = settings(tokens), settings(tokens, "prefix_first")
    rows, shared = requests(count, generate), requests(count, first)
    bare = Bare(generate)
    before, _ = bare.rate(rows, generate)
    quarter = max(12, count // 4)
    published_rate, published_hits = bare.rate(rows.slice(0, quarter), generate)
    free, _ = bare.rate(rows.slice(0, quarter), generate, grammar=False)
    prefix_rate, prefix_hits = bare.rate(shared.slice(0, quarter), first)
    bare.close()
    stage, answers = staged(rows, generate)
    bare = Bare(generate)
    after, _ = bare.rate(rows, generate)
    bare.close()
    peer = median([before, after])
    light = beside(rows, answers, generate)
    seconds = sum(answers["output_tokens"].to_pylist()) / stage
    print(f"bare vllm.LLM.chat: {before:.1f} and {after:.1f} output tokens/s; through the stage: {stage:.1f}")
    grammar_cost = 1 - published_rate / free  # the engine warm, every answer of full length
    print(f"grammar on: {published_rate:.1f} tokens/s, off: {free:.1f}, so the grammar costs {grammar_cost:.1%}")
    print(f"layout published: {published_rate:.1f} tokens/s, {published_hits:.1%} of the input cached")
    print(f"layout prefix_first: {prefix_rate:.1f} tokens/s, {prefix_hits:.1%} of the input cached")
    print(
        f"rendering and gating: {light:.2f} s of one core beside {seconds:.1f} s of the engine ({light / seconds:.2%})"
    )
    ratio = stage / peer
    result = {
        "name": "generate",
        "ours": round(stage, 2),
        "peer": round(peer, 2),
        "ratio": round(ratio, 4),
        "target": TARGET,
        "holds": ratio >= TARGET,
        "requests": count,
        "tokens": tokens,
        "device": "cuda" if CUDA else "cpu",
        "grammar_cost": round(grammar_cost, 4),
        "render_and_gate": round(light / seconds, 4),
        "cached": {"published": round(published_hits, 4), "prefix_first": round(prefix_hits, 4)},
    }
    print(json.dumps(result))
    sys.exit(0 if result["holds"] else 1)


if __name__ == "__main__":
    main()
