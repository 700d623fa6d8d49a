"""Any OpenAI-compatible endpoint, through OpenAI's own client: it retries with backoff and heeds Retry-After.

One worker holds all requests in flight: it waits, it does not compute. What the endpoint may be asked of in a minute is
kept there too, so that the limit is one for the whole job.

Gateways tell some errors in a reply with status 200, and a wrong address may lead to a web page. What came is looked at
here, since the client takes whatever comes with that status for a chat completion.

Some show the key in what they answer. It is masked in all that leaves a worker.
"""

import asyncio
import json
import math
import os
import random
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import pyarrow as pa
from pydantic import SecretStr
from ray.data import ActorPoolStrategy, Dataset

from syneg.errors import BadInput, StageFailed
from syneg.generate.engines.asked import ANSWERED, LIGHT, Decoding, Pieces, error_in, of_error, of_reply
from syneg.on_ray.placement import node_group
from syneg.redaction import without
from syneg.settings.generate import OpenaiEngine
from syneg.settings.resources import ResourcesConfig

_PERMANENT = (401, 403, 404)  # the key, the address or the model is wrong: no other request would fare better
_BOUNDS = ("minLength", "maxLength", "minItems", "maxItems")
# The statuses that the client itself retries, and what a rate limit is called where an error has a name.
_PASSES = re.compile(r"408|409|429|5\d\d|.*(?:rate_?limit|too_many_requests|resource_exhausted|overloaded).*")
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 8.0  # as the client's
_LONGEST_ASKED_SECONDS = 120.0  # a Retry-After above it is not believed, as by the client
_REACH_SECONDS = 5.0
_CHANCE = random.SystemRandom()  # the waits are nobody's results: they take nothing from a seeded generator


def answer(
    requests: Dataset,
    columns: list[str],
    decoding: Decoding,
    engine: OpenaiEngine,
    resources: ResourcesConfig,
    pieces: Pieces,
) -> Dataset:
    """See `syneg.generate.engine.answer`."""
    # One batch more than is in flight hides the hand-over.
    batches = min(math.ceil(engine.limits.max_in_flight / pieces.rows) + 1, pieces.at_once)
    return requests.map_batches(
        Endpoint,
        fn_constructor_args=(engine, decoding, columns, key(engine)),
        compute=ActorPoolStrategy(size=1, max_concurrent_calls_per_actor=batches),
        num_cpus=LIGHT,
        resources=node_group(resources.generate),
        batch_size=pieces.rows,
        batch_format="pyarrow",
    )


def reach(engine: OpenaiEngine, section: str) -> None:
    """Looks whether anybody listens at `base_url`, and asks nothing. Behind a proxy it is left open: what listens there
    is the proxy.

    Raises:
        BadInput: nobody does.
    """
    name = f"{section}.base_url={engine.base_url}"
    try:
        address = urlsplit(engine.base_url)
        host, port = address.hostname, address.port or (443 if address.scheme == "https" else 80)
    except ValueError as error:
        raise BadInput(f"{name} is no address: {error}. Give one such as http://HOST:PORT/v1.") from None
    if not host:
        raise BadInput(f"{name} names no host. Give an address such as http://HOST:PORT/v1.")
    proxies = getproxies()
    if (address.scheme in proxies or "all" in proxies) and not proxy_bypass(host):
        return
    try:
        socket.create_connection((host, port), timeout=_REACH_SECONDS).close()
    except OSError as error:
        raise BadInput(
            f"{name}: nothing answers at {host}, port {port} ({error.strerror or error}). Start the server, or give "
            "the address of one that runs."
        ) from None


def key(engine: OpenaiEngine, section: str = "generate.engine") -> SecretStr:
    """The key from the environment of the job's driver; it is never part of a config.

    Raises:
        BadInput: the variable that `api_key_env` names is not set.
    """
    if engine.api_key_env is None:
        return SecretStr("none")  # the client wants one; an endpoint without keys does not look at it
    found = os.environ.get(engine.api_key_env)
    if not found:
        raise BadInput(
            f"{section}.api_key_env: the environment has no {engine.api_key_env}. Export it with the key for "
            f"{engine.base_url}, or set api_key_env=null for an endpoint that asks for none."
        )
    return SecretStr(found)


class Endpoint:
    """A worker: a batch of requests to a batch of answers, many batches at the same time."""

    def __init__(self, engine: OpenaiEngine, decoding: Decoding, columns: list[str], key: SecretStr) -> None:
        from openai import AsyncOpenAI

        limits = engine.limits
        client = AsyncOpenAI(
            base_url=engine.base_url,
            api_key=key.get_secret_value(),
            timeout=limits.timeout_seconds,
            max_retries=limits.max_retries,
        )
        self._create: Any = client.chat.completions.with_raw_response.create  # its overloads know no plain dicts
        self._engine, self._columns = engine, columns
        self._key = key.get_secret_value().strip() if engine.api_key_env else ""
        self._sampling, self._choices = sampling(engine, decoding), decoding.choices
        self._room = asyncio.Semaphore(limits.max_in_flight)
        self._pace = Pace(limits.requests_per_minute)

    async def __call__(self, batch: pa.Table) -> AsyncIterator[pa.Table]:
        rows = batch.select(["messages", "seed"]).to_pylist()
        answered = await asyncio.gather(*(self._answer(row["messages"], row["seed"]) for row in rows))
        made = pa.Table.from_pylist(answered, ANSWERED)
        yield pa.table({name: batch[name] for name in self._columns} | {name: made[name] for name in ANSWERED.names})

    async def _answer(self, messages: list[dict[str, str]], seed: int) -> dict[str, Any]:
        """A row of `ANSWERED`. Only what would fail every other request too is raised."""
        from openai import APIError, APIStatusError

        async with self._room:
            await self._pace.turn()
            began, clock, permanent = time.time(), time.perf_counter(), False
            try:
                row = of_reply(await self._reply(messages, seed), self._choices)
            except APIError as error:
                row = of_error(error.body, f"{type(error).__name__}: {error}")
                row |= {name: row[name] and without(row[name], self._key) for name in ("answer", "error")}
                status = error.status_code if isinstance(error, APIStatusError) else None
                permanent = status in _PERMANENT and row["error"] is not None
            if permanent:  # raised here, since the client's own error, which may show the key, would go along with it
                raise StageFailed(f"{self._engine.base_url} refuses {self._engine.model}: {row['error']}")
            return row | {"asked_at": began, "seconds": time.perf_counter() - clock}

    async def _reply(self, messages: list[dict[str, str]], seed: int) -> Any:
        """The JSON of a reply, or its text. Asks again where it holds an error that passes, which no status told."""
        left, waits = self._engine.limits.max_retries, 0
        while True:
            raw = await self._create(messages=messages, seed=seed, **self._sampling)
            reply = content_of(raw.content, self._key)
            left -= 1 + raw.retries_taken
            if left < 0 or not passes(error_in(reply)):
                return reply
            await asyncio.sleep(wait_seconds(waits, raw.headers.get("retry-after")))
            await self._pace.turn()
            waits += 1


def sampling(engine: OpenaiEngine, decoding: Decoding) -> dict[str, Any]:
    """The arguments that all requests share."""
    settings: dict[str, Any] = {
        "model": engine.model,
        "temperature": decoding.temperature,
        "top_p": decoding.top_p,
        engine.max_tokens_name: decoding.max_tokens,
        "extra_body": dict(engine.extra_body),
    }
    if decoding.choices:
        settings |= {"logprobs": True, "top_logprobs": 20}
    others = {"min_p": (decoding.min_p, 0.0), "repetition_penalty": (decoding.repetition_penalty, 1.0)}
    # They are no part of OpenAI's interface, but of most others'.
    settings["extra_body"] |= {name: value for name, (value, unset) in others.items() if value != unset}
    if decoding.schema and engine.response_format == "json_schema":
        schema = decoding.schema if engine.string_bounds else _without_bounds(decoding.schema)
        form = {"name": "answer", "strict": True, "schema": schema}
        settings["response_format"] = {"type": "json_schema", "json_schema": form}
    elif decoding.schema and engine.response_format == "json_object":
        settings["response_format"] = {"type": "json_object"}
    return settings


def _without_bounds(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {name: _without_bounds(value) for name, value in schema.items() if name not in _BOUNDS}
    return schema


def content_of(body: bytes, key: str = "") -> Any:
    """The JSON of a reply, its text where it is none, with the `key` masked."""
    try:
        text = json.dumps(json.loads(body), ensure_ascii=False)  # written anew, so that the key has one spelling
        return json.loads(without(text, json.dumps(key, ensure_ascii=False)[1:-1]))
    except (ValueError, RecursionError):
        return without(body.decode(errors="replace"), key)


def passes(error: Any) -> bool:
    """Whether an error that a reply holds passes by waiting, as a rate limit does."""
    if not isinstance(error, dict):
        return False
    return any(_PASSES.fullmatch(str(error.get(name)).lower()) for name in ("code", "status", "type"))


def wait_seconds(waits: int, retry_after: str | None) -> float:
    """What the endpoint asks for in seconds; otherwise exponential, with jitter and a cap."""
    try:
        asked = float(retry_after or 0)
    except ValueError:  # a date, which the clocks of two machines would have to agree on
        asked = 0.0
    if 0 < asked <= _LONGEST_ASKED_SECONDS:
        return asked
    return min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2.0 ** min(waits, 9)) * _CHANCE.uniform(0.75, 1.0)


class Pace:
    """Turns at even distances, so that no more than `per_minute` are taken in a minute."""

    def __init__(self, per_minute: float | None) -> None:
        self._seconds = 60 / per_minute if per_minute else 0.0
        self._next = 0.0

    def turn(self) -> Awaitable[None]:
        now = time.monotonic()
        turn = max(now, self._next)
        self._next = turn + self._seconds
        return asyncio.sleep(turn - now)
