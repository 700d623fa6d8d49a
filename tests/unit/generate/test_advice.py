import re

import pytest

from syneg.generate.advice import advice
from syneg.generate.spending import Spent
from syneg.generate.writing import root_cause
from syneg.settings.generate import OpenaiEngine, VllmEngine

ENGINE = OpenaiEngine(kind="openai", model="m", base_url="http://host:1/v1", api_key_env="MY_KEY")
REFUSED = "BadRequestError: Error code: 400 - response_format json_schema not supported"


@pytest.mark.parametrize(
    ("error", "changes", "said"),
    [
        ("APIConnectionError: Connection error.", {}, r"base_url=http://host:1/v1 runs"),
        ("APITimeoutError: Request timed out.", {}, r"judge\.engine\.limits\.timeout_seconds"),
        (REFUSED, {}, r"does not take judge\.engine\.response_format=json_schema: set it to json_object, or text"),
        (REFUSED, {"response_format": "json_object"}, "set it to text"),
        (REFUSED, {"response_format": "text"}, "^otherwise$"),
        ("BadRequestError: Error code: 400 - too long", {}, "^otherwise$"),
        ("AuthenticationError: Error code: 401 - Incorrect API key", {}, r"MY_KEY \(judge\.engine\.api_key_env\)"),
        (
            "PermissionDeniedError: Error code: 403 - no",
            {"api_key_env": None},
            r"variable .* by judge\.engine\.api_key",
        ),
        ("NotFoundError: Error code: 404 - no such model", {}, r"serves judge\.engine\.model=m"),
        ("RateLimitError: Error code: 429 - slow down", {}, r"limits\.requests_per_minute"),
        ("InternalServerError: Error code: 500 - oops", {}, "^otherwise$"),
    ],
)
def test_what_is_advised_goes_by_the_error(error: str, changes: dict, said: str) -> None:
    engine = OpenaiEngine.model_validate(ENGINE.model_dump() | changes)
    assert re.search(said, advice(error, engine, "judge.engine", "otherwise"))


def test_an_engine_of_our_own_has_no_address() -> None:
    engine = VllmEngine(kind="vllm", model="m")
    assert advice("APIConnectionError: Connection error.", engine, "generate.engine", "otherwise") == "otherwise"


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("syneg.errors.StageFailed: http://host refuses m: AuthenticationError: no", None),
        ("syneg.errors.BadInput: generate.engine.model: no such folder", None),
        ("ValueError: No available memory: 1 of 2", "ValueError: No available memory: 1 of 2"),
        ("torch.cuda.OutOfMemoryError: CUDA out of memory", "OutOfMemoryError: CUDA out of memory"),
    ],
)
def test_the_cause_has_no_path_of_a_class(line: str, cause: str | None) -> None:
    remote = f'ray::MapWorker(MapBatches(Endpoint)) (pid=1)\n  File "x.py", line 1, in f\n    raise Error\n{line}'
    assert root_cause(RuntimeError(remote)) == (cause or line.partition(": ")[2])
    assert root_cause(RuntimeError("\nThe actor died\nbecause")) == "The actor died"


def test_failures_are_no_answers() -> None:
    assert Spent(answered=3).progress(20) == "3/20 answers"
    assert Spent(failed=16).progress(20) == "0/20 answers, 16 failed"
    assert Spent(failed=16).kept(before=0) == ""
    assert Spent(answered=3).kept(before=1_000) == "What was answered is kept (1,003). "
