"""What vLLM's plugin changes, with vLLM's and Ray's own classes and without an engine."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from syneg.generate.engines import plugin
from syneg.store import models


def test_the_prefix_caches_hits_come_through_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    import vllm
    from ray.llm._internal.batch.stages.vllm_engine_stage import vLLMOutputData
    from vllm.outputs import CompletionOutput
    from vllm.v1.metrics.stats import RequestStateStats

    class Engine:
        async def generate(self, prompt: Any, sampling_params: Any, request_id: str, **_: Any) -> AsyncIterator[Any]:
            written = CompletionOutput(0, "text", [7, 8], None, None, finish_reason="stop")
            stats = RequestStateStats(num_generation_tokens=2, arrival_time=5.0)
            yield vllm.RequestOutput(
                request_id, prompt, [1, 2, 3], None, [written], True, metrics=stats, num_cached_tokens=2
            )

    async def answered() -> Any:
        sampling = vllm.SamplingParams(max_tokens=2)
        (output,) = [found async for found in vllm.AsyncLLMEngine().generate("prompt", sampling, "0")]  # type: ignore
        assert sampling.output_kind.name == "FINAL_ONLY"
        return vLLMOutputData.from_vllm_engine_output(output)

    monkeypatch.setattr(vllm, "AsyncLLMEngine", Engine)
    plugin.tell_cached_tokens()
    told = asyncio.run(answered())
    assert told.metrics is not None
    assert (told.metrics["num_cached_tokens"], told.metrics["arrival_time"]) == (2, 5.0)
    assert (told.generated_text, told.num_input_tokens, told.num_generated_tokens) == ("text", 3, 2)


def test_it_acts_only_in_an_engine_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(models, "bring_for_vllm", lambda: calls.append("model"))
    monkeypatch.setattr(plugin, "tell_cached_tokens", lambda: calls.append("cache"))
    monkeypatch.delenv(models.ENGINE_MODEL, raising=False)
    plugin.prepare()
    assert calls == []
    monkeypatch.setenv(models.ENGINE_MODEL, "a model")
    plugin.prepare()
    assert calls == ["model", "cache"]
    monkeypatch.setattr(plugin.multiprocessing, "parent_process", lambda: SimpleNamespace())
    plugin.prepare()
    assert calls == ["model", "cache", "model"]
