"""A stand-in for an OpenAI-compatible endpoint, with set rates of everything that goes wrong with real ones.

    with StandIn(Faults(malformed=0.1, busy=0.2)) as server:
        ... generate.engine={kind: openai, model: stand-in, base_url: server.url, api_key_env: null}

What a request meets is decided by a hash of its messages, so it is the same in every order, process and run. `busy`
(429), `broken` (500) and `timeout` pass with a retry, as they mostly do; with `lasting=True` they do not. By hand or
from another process: `python -m tests.standin_server --port 8000 --malformed 0.1`.
"""

import argparse
import hashlib
import json
import math
import random
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "a key for the stand-in"
_WORDS = (
    "the a of in to for with from and by study cells protein group patients level blood risk model data drug mice rate "
    "gene test water city report river price market index tax method value list file string number object class type "
    "result sample trial effect growth tissue virus immune dose signal time year area people work system change is was "
    "are were that this between after before under over more less high low new early late small large common rare"
)
_VOCABULARY = _WORDS.split()
_REFUSAL = "I'm sorry, but I can't help with writing that."


@dataclass(frozen=True)
class Faults:
    """Shares of requests, disjoint, in [0, 1]; together at most 1."""

    malformed: float = 0.0  # text that is no JSON
    wrong_schema: float = 0.0  # JSON of other keys
    empty: float = 0.0
    refusal: float = 0.0
    truncation: float = 0.0  # cut in the middle, finish_reason "length"
    repetition: float = 0.0  # one phrase over and over until the limit
    timeout: float = 0.0  # answers after `stall` seconds
    busy: float = 0.0  # 429
    broken: float = 0.0  # 500

    def of(self, draw: float) -> str:
        """What `draw`, uniform in [0, 1), meets; "" for a good answer."""
        for name, rate in asdict(self).items():
            if draw < rate:
                return name
            draw -= rate
        return ""


class StandIn:
    """The server; `url` while it is up. `seen` counts what requests met, by the name of the fault ("" for none)."""

    def __init__(
        self,
        faults: Faults | None = None,
        *,
        port: int = 0,
        words: int = 40,  # of a good negative
        delay: float = 0.0,  # seconds before an answer
        stall: float = 30.0,
        lasting: bool = False,  # 429 and 500 come again with every retry
        dies_after: int | None = None,  # requests; from then on connections are cut
        key: str | None = None,  # the bearer token without which the answer is 401
        usage: bool = True,  # whether answers tell their tokens
        yes: float = 0.1,  # the probability of "yes" where log-probabilities are asked for
    ) -> None:
        self.faults = faults or Faults()
        self.words, self.delay, self.stall, self.lasting = words, delay, stall, lasting
        self.dies_after, self.key, self.usage, self.yes = dies_after, key, usage, yes
        self.seen: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []  # of the last requests
        self.requests = 0
        self._lock = threading.Lock()
        self._tried: set[str] = set()
        self._http = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._http.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> "StandIn":
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def serve(self) -> None:
        self._http.serve_forever()

    def fault_of(self, messages: Any) -> str:
        """What a request with these messages meets at its first try."""
        return self.faults.of(int(_digest(messages)[:12], 16) / 16**12)

    def reply(self, body: dict[str, Any], key: str) -> tuple[int, dict[str, Any]] | None:
        """Status and content of a chat completion; None cuts the connection."""
        with self._lock:
            self.requests += 1
            self.bodies = [*self.bodies[-99:], body]
            if self.dies_after is not None and self.requests > self.dies_after:
                return None
            name = _digest(body["messages"])
            fault = self.fault_of(body["messages"])
            if fault in ("busy", "broken", "timeout") and not self.lasting and name in self._tried:
                fault = ""
            self._tried.add(name)
            self.seen[fault] += 1
        if self.key is not None and key != f"Bearer {self.key}":
            return 401, _error("invalid key")
        if fault in ("busy", "broken"):
            return (429, _error("too many requests")) if fault == "busy" else (500, _error("internal error"))
        time.sleep(self.stall if fault == "timeout" else self.delay)
        return 200, self._completion(body, fault, random.Random(name))

    def _completion(self, body: dict[str, Any], fault: str, chance: random.Random) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop"}
        if body.get("logprobs"):
            content = "Yes" if self.yes >= 0.5 else "No"
            choice["logprobs"] = {"content": [_logprobs(content, self.yes)]}
        else:
            content = self._content(body, fault, chance)
        if fault in ("truncation", "repetition"):
            choice["finish_reason"] = "length"
        choice["message"] = {"role": "assistant", "content": content, "refusal": None}
        if fault == "refusal":
            choice["message"] |= {"content": None, "refusal": _REFUSAL}
        read = sum(len(message["content"].split()) for message in body["messages"])
        usage = {"prompt_tokens": read, "completion_tokens": len((content or "").split())}
        usage["total_tokens"] = sum(usage.values())
        return {
            "id": "chatcmpl-0",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body["model"],
            "choices": [choice],
            "usage": usage | {"prompt_tokens_details": {"cached_tokens": read // 2}} if self.usage else None,
        }

    def _content(self, body: dict[str, Any], fault: str, chance: random.Random) -> str:
        form = body.get("response_format", {}).get("json_schema", {}).get("schema")
        whole = json.dumps(self._value(form, chance)) if form else _sentence(chance, self.words)
        return {
            "malformed": f"Here you are: {whole[: len(whole) // 2]}",
            "wrong_schema": json.dumps({"text": whole}),
            "empty": "",
            "truncation": whole[: len(whole) // 2],
            "repetition": whole[: len(whole) // 4] + "and so on " * 50,
        }.get(fault, whole)

    def _value(self, form: dict[str, Any], chance: random.Random) -> Any:
        """A value that fits a JSON schema of objects, arrays and strings."""
        if form["type"] == "object":
            return {name: self._value(inner, chance) for name, inner in form["properties"].items()}
        if form["type"] == "array":
            return [self._value(form["items"], chance) for _ in range(form.get("minItems", 2))]
        text = _sentence(chance, self.words)
        return text[: form.get("maxLength", len(text))]


def _sentence(chance: random.Random, words: int) -> str:
    return f"{' '.join(chance.choice(_VOCABULARY) for _ in range(words)).capitalize()}."


def _logprobs(content: str, yes: float) -> dict[str, Any]:
    both = {"Yes": math.log(max(yes, 1e-9)), "No": math.log(max(1 - yes, 1e-9))}
    top = [{"token": token, "logprob": value, "bytes": None} for token, value in both.items()]
    return {"token": content, "logprob": both[content], "bytes": None, "top_logprobs": top}


def _digest(messages: Any) -> str:
    return hashlib.sha256(json.dumps(messages).encode()).hexdigest()


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "stand_in", "code": None, "param": None}}


def _handler(server: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            replied = server.reply(body, self.headers.get("Authorization", ""))
            if replied is None:
                self.close_connection = True
                self.connection.close()
                return
            status, content = replied
            sent = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    return Handler


def main() -> None:
    parser = argparse.ArgumentParser(description="A stand-in OpenAI-compatible endpoint that fails at set rates.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--words", type=int, default=40)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--stall", type=float, default=30.0)
    parser.add_argument("--yes", type=float, default=0.1)
    parser.add_argument("--dies-after", type=int)
    parser.add_argument("--lasting", action="store_true")
    for fault in fields(Faults):
        parser.add_argument(f"--{fault.name.replace('_', '-')}", type=float, default=0.0)
    given = vars(parser.parse_args())
    server = StandIn(Faults(**{fault.name: given.pop(fault.name) for fault in fields(Faults)}), **given)
    print(server.url, flush=True)
    server.serve()


if __name__ == "__main__":
    main()
