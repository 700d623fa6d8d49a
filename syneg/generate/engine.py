"""From messages to answers: one function, whatever the engine."""

from ray.data import Dataset

from syneg.generate.engines import endpoint, recorded, vllm
from syneg.generate.engines.asked import Decoding, Pieces
from syneg.settings.generate import Engine, OpenaiEngine, RecordedEngine
from syneg.settings.resources import ResourcesConfig
from syneg.store import models


def identity(engine: Engine) -> str:
    """What wrote the answers, by content where that can be had: enters every negative_id."""
    if isinstance(engine, RecordedEngine):
        return f"recorded@{recorded.digest(engine.path)[:12]}"
    if isinstance(engine, OpenaiEngine):
        return f"{engine.model}@{engine.provider}" if engine.provider else engine.model
    return f"{engine.model}@{models.digest(engine.model, 'generate.engine.model')[:12]}"


def answer(
    requests: Dataset,
    columns: list[str],
    decoding: Decoding,
    engine: Engine,
    resources: ResourcesConfig,
    at_stake: int = 256,
) -> Dataset:
    """`requests` (`messages`, `seed`, and whatever else is in `columns`) as `columns` and those of `ANSWERED`.

    One row out for each row in; lazy. Engines run only while it is computed. A worker is asked at most
    `at_stake` rows at a time.

    Raises:
        BadInput: the model, the recorded answers or the key of the endpoint are not there.
    """
    if isinstance(engine, RecordedEngine):
        return recorded.answer(requests, columns, engine)
    pieces = Pieces.of(resources.generate, at_stake)
    if isinstance(engine, OpenaiEngine):
        return endpoint.answer(requests, columns, decoding, engine, resources, pieces)
    return vllm.answer(requests, columns, decoding, engine, resources, pieces)
