"""vLLM's plugin (see pyproject.toml): what its processes do before they read a model.

It acts only in those that `engines/vllm.py` started, which it knows by their environment.
"""

import multiprocessing
import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from syneg.store import models


def prepare() -> None:
    """Called by vLLM in each of its processes, maybe more than once."""
    if models.ENGINE_MODEL not in os.environ:
        return
    models.bring_for_vllm()
    if multiprocessing.parent_process() is None:  # the one that answers; those that it starts only compute
        tell_cached_tokens()


def tell_cached_tokens() -> None:
    """Makes the prefix cache's hits part of an answer's metrics.

    vLLM tells them in `RequestOutput.num_cached_tokens`. ray.data.llm 2.60 drops that field and passes the fields of
    `metrics` on, whatever they are; the engine it takes is the one that the module `vllm` names. Without this plugin
    the metric is missing and everything else the same.
    """
    import vllm
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.metrics.stats import RequestStateStats

    @dataclass
    class Metrics(RequestStateStats):
        num_cached_tokens: int | None = None

    class Engine(vllm.AsyncLLMEngine):
        async def generate(
            self, prompt: Any, sampling_params: Any, *args: Any, **options: Any
        ) -> AsyncGenerator[Any, None]:
            # ray.data.llm looks at nothing but the last output. As in `vllm.LLM`, the others are not made.
            sampling_params.output_kind = RequestOutputKind.FINAL_ONLY
            async for output in super().generate(prompt, sampling_params, *args, **options):
                if output.metrics is not None:
                    output.metrics = Metrics(**vars(output.metrics), num_cached_tokens=output.num_cached_tokens)
                yield output

    vllm.AsyncLLMEngine = Engine
