"""Having the LLM write: answers as they come, what is asked again, and what ends it early (errors, the budget)."""

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.data
import ray.exceptions
from ray.data import Dataset

from syneg import schemas
from syneg.errors import StageFailed
from syneg.generate import admission, engine, prompts
from syneg.generate.answers import Answer, parse, schema
from syneg.generate.attributes import Attributes
from syneg.generate.engines.asked import AFTER, ANSWERED, LIGHT, Asked
from syneg.generate.gate import reject_reason
from syneg.generate.keys import request_key
from syneg.generate.prompts import Prompt
from syneg.generate.requests import EARLIER, REQUEST, Asking
from syneg.keyset import KeySet
from syneg.settings.generate import GateConfig, GenerateConfig
from syneg.stage import Context, Stake
from syneg.texts import first_words

_SHOWN_AGAIN = 200  # words of a rejected answer that the LLM is shown
_NOT_ASKED_AGAIN = ("engine_error", "no_answer")
Made = Callable[[KeySet], Dataset]
"""The requests but for those whose negative_id is given."""


def asked(generate: GenerateConfig) -> Asked:
    """What all requests for a negative have in common."""
    return Asked(
        max_tokens=generate.max_tokens,
        max_model_len=generate.max_model_len,
        temperature=generate.temperature,
        top_p=generate.top_p,
        min_p=generate.min_p,
        repetition_penalty=generate.repetition_penalty,
        schema=schema(
            reflection=generate.reflection,
            max_reasoning_chars=generate.max_reasoning_chars,
            min_negative_chars=generate.min_negative_chars,
            max_negative_chars=generate.max_negative_chars,
            negatives=generate.negatives_per_answer,
        ),
    )


@dataclass
class Spent:
    """What was asked and paid for so far. Tokens include those of attempts that were killed."""

    input_tokens: int = 0
    output_tokens: int = 0
    answered: int = 0  # in this attempt
    errors: int = 0
    piece_seconds: float = 0.0  # from the first request of a piece to the last answer, of the slowest piece

    def add(self, block: pa.Table) -> None:
        self.input_tokens += pc.sum(block["input_tokens"]).as_py() or 0  # type: ignore[attr-defined]
        self.output_tokens += pc.sum(block["output_tokens"]).as_py() or 0  # type: ignore[attr-defined]

    def time(self, block: pa.Table) -> None:
        """Of a piece as it came back."""
        asked = block.select(["asked_at", "seconds"]).drop_null()
        if asked.num_rows:
            began = asked["asked_at"].to_numpy()
            took = float((began + asked["seconds"].to_numpy()).max() - began.min())
            self.piece_seconds = max(self.piece_seconds, took)

    def pieces(self, stake: Stake) -> dict[str, Any]:
        """Facts of how long answers waited to be stored, with a warning where that was too long."""
        warning = (
            f"A worker was at one piece of requests for {self.piece_seconds:.0f} s, so a death costs more than "
            f"store.part_seconds={stake.seconds:g}. State the rate that this engine has "
            "(resources.estimate.output_tokens_per_second, output_tokens), or allow for more seconds."
        )
        slow = self.piece_seconds > stake.seconds
        return {"piece_seconds": round(self.piece_seconds, 1), "warnings": [warning] if slow else []}


def at_stake(context: Context) -> int:
    """The requests that a worker may be at, by the rate that `resources.estimate` states."""
    rates = context.resources.estimate
    return context.stake.at(rates.output_tokens_per_second / rates.output_tokens)


def answers(
    make: Made, done: KeySet, open_requests: int, prompt: Prompt, asking: Asking, spent: Spent, context: Context
) -> Iterator[pa.Table]:
    """Blocks of schemas.ANSWERS as they come. The engine starts when the first is taken, and ends with the last.

    An answer that is asked for again appears once, as it was answered last.

    Raises:
        StageFailed: the engine failed too often or stopped, or the budget is spent. The blocks before are whole.
    """
    generate = asking.generate
    context.progress(f"0/{open_requests} answers, the first take longest")
    waiting: list[Any] = []  # references to answered rows that are to be asked again
    finished: set[str] = set()
    free = admission.room(at_stake(context) * context.resources.generate.max_workers)
    try:
        for attempt in range(generate.retries + 1):
            requests = (
                ray.data.from_arrow_refs(waiting).map_batches(_asked_again, **_LIGHTLY) if attempt else make(done)
            )
            waiting = []
            # Closed also where it is left early, so that the engine's workers end with it.
            with closing(_answered(admission.admitted(requests, free), prompt, asking, context)) as found:
                for block in found:
                    spent.add(block)
                    spent.time(block)
                    _check_errors(block, spent, open_requests, generate)
                    final, again = _parted(block, last=attempt == generate.retries)
                    waiting += [ray.put(again)] if again.num_rows else []
                    spent.answered += final.num_rows
                    context.progress(f"{spent.answered}/{open_requests} answers")
                    if generate.budget.on_reached == "finish":
                        finished.update(final["negative_id"].to_pylist())
                    yield _as_stored(final, asking)
                    free.give.remote(block["negative_id"].to_pylist())  # it is stored now
                    if generate.budget.reached(spent.input_tokens, spent.output_tokens):
                        break
            if generate.budget.reached(spent.input_tokens, spent.output_tokens):
                yield from _beyond_budget(make, done | KeySet.of(finished), waiting, asking, spent, open_requests)
                return
            if not waiting:
                return
    except ray.exceptions.RayError as error:
        raise StageFailed(
            f"generate: the engine stopped after {spent.answered} of {open_requests} answers: {root_cause(error)}\n"
            "The answers are kept. See to generate.engine and resources.generate, then run the same command again."
        ) from error


_LIGHTLY: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow", "num_cpus": LIGHT}
_LIGHTLY_AFTER: dict[str, Any] = _LIGHTLY | {"num_cpus": AFTER}


def _answered(requests: Dataset, prompt: Prompt, asking: Asking, context: Context) -> Generator[pa.Table, None, None]:
    generate = asking.generate
    rendered = requests.map_batches(partial(render, prompt=prompt, seed=generate.seed), **_LIGHTLY)
    answered = engine.answer(
        rendered, list(REQUEST.names), asked(generate), generate.engine, context.resources, at_stake(context)
    )
    return blocks(answered.map_batches(partial(_looked_at, generate=generate), **_LIGHTLY_AFTER))


def render(batch: pa.Table, prompt: Prompt, seed: int) -> pa.Table:
    """Rows of `REQUEST` with their `messages`."""
    rendered = []
    for row in batch.to_pylist():
        key = request_key(row["query_id"], row["positive_id"], row["sample"])
        mark = prompts.fence(seed, key, row["query"], row["positive"], row["example"])
        drawn = Attributes(row["domain"], row["difficulty"], row["length"])
        messages = prompt.messages(row["query"], row["positive"], drawn, mark, row["example"])
        if before := row["before"]:
            shown = first_words(before["answer"], _SHOWN_AGAIN)
            messages.append({"role": "assistant", "content": shown})
            messages.append({"role": "user", "content": prompts.again(before["reason"])})
        rendered.append(messages)
    return batch.append_column("messages", pa.array(rendered, prompts.MESSAGES))


def _looked_at(batch: pa.Table, generate: GenerateConfig) -> pa.Table:
    """Answers with the tokens of all their attempts, and with the `reason` to ask again, if there is one."""
    earlier = [before or {} for before in batch["before"].to_pylist()]

    def total(name: str, own: list[int | None]) -> pa.Array:
        pairs = zip(own, earlier, strict=True)
        sums = [None if value is None else value + (before.get(name) or 0) for value, before in pairs]
        return pa.array(sums, pa.int32())

    reasons = [_reason(row, generate) if generate.retries else None for row in batch.to_pylist()]
    made = {
        "input_tokens": total("input_tokens", batch["input_tokens"].to_pylist()),
        "output_tokens": total("output_tokens", batch["output_tokens"].to_pylist()),
        "cached_tokens": total("cached_tokens", batch["cached_tokens"].to_pylist()),
        "attempts": total("attempts", [1] * batch.num_rows),
        "reason": pa.array(reasons, pa.string()),
    }
    names = [name for name in (*REQUEST.names, *ANSWERED.names) if name not in made and name != "before"]
    return pa.table({name: batch[name] for name in names} | made)


def _reason(row: dict[str, Any], generate: GenerateConfig) -> str | None:
    """The first rule of the gate, at its default limits, that the answer breaks."""
    found = parse(
        row["answer"], row["finish_reason"], reflection=generate.reflection, negatives=generate.negatives_per_answer
    )
    for negative in found:
        if not isinstance(negative, Answer):
            return None if negative in _NOT_ASKED_AGAIN else negative
        if reason := reject_reason(
            negative.hard_negative, row["query"], row["positive"], GateConfig(), example=row["example"]
        ):
            return reason
    return None


def _asked_again(answered: pa.Table) -> pa.Table:
    """Requests that tell what came of them before. Each time another seed draws the tokens."""
    rows = answered.to_pylist()
    told = EARLIER.names
    for row in rows:
        row["seed"] += 1
        row["before"] = {name: row[name] for name in told}
    return pa.Table.from_pylist([{name: row[name] for name in REQUEST.names} for row in rows], REQUEST)


def _parted(block: pa.Table, last: bool) -> tuple[pa.Table, pa.Table]:
    """Answers that are final, and those to ask for again."""
    if last:
        return block, block.slice(0, 0)
    return block.filter(pc.field("reason").is_null()), block.filter(pc.field("reason").is_valid())


def _check_errors(block: pa.Table, spent: Spent, open_requests: int, generate: GenerateConfig) -> None:
    """Raises before the block is stored, so that what failed too often is asked again by the next attempt."""
    failed = block["error"].drop_null().to_pylist()
    spent.errors += len(failed)
    if spent.errors > generate.max_error_rate * open_requests:
        raise StageFailed(
            f"generate: the engine failed {spent.errors} of {open_requests} requests, more than "
            f"generate.max_error_rate={generate.max_error_rate}. The last one said: {failed[-1]}\n"
            "The answers before are kept. See to the engine, then run the same command again."
        )


def _beyond_budget(
    make: Made, done: KeySet, waiting: list[Any], asking: Asking, spent: Spent, open_requests: int
) -> Iterator[pa.Table]:
    """What becomes of the requests that the budget did not reach."""
    budget = asking.generate.budget
    if spent.answered == open_requests:
        return
    if budget.on_reached == "stop":
        price = budget.price(spent.input_tokens, spent.output_tokens)
        raise StageFailed(
            f"generate: generate.budget is spent after {spent.answered} of {open_requests} answers: "
            f"{spent.input_tokens:,} tokens read and {spent.output_tokens:,} written, {price:,.2f} by the prices given."
            "\nThe answers are kept. Raise generate.budget and run the same command again to go on."
        )
    for reference in waiting:
        rejected: pa.Table = ray.get(reference)
        done = done | KeySet.of(rejected["negative_id"].to_pylist())
        yield _as_stored(rejected, asking)
    for block in blocks(make(done)):
        yield _as_stored(_never_asked(block), asking)


def _never_asked(requests: pa.Table) -> pa.Table:
    rows = requests.num_rows
    zeros = pa.array([0] * rows, pa.int32())
    made = {name: pa.nulls(rows, kind) for name, kind in zip(ANSWERED.names, ANSWERED.types, strict=True)}
    made |= {"input_tokens": zeros, "output_tokens": zeros, "attempts": zeros, "answer": pa.array([""] * rows)}
    made["finish_reason"] = pa.array(["over_budget"] * rows)
    made["error"] = pa.array(["generate.budget was spent"] * rows)  # so that no other output takes the row over
    return pa.table({name: requests[name] for name in requests.column_names} | made)


def _as_stored(block: pa.Table, asking: Asking) -> pa.Table:
    for name, value in (("prompt_version", asking.prompt_version), ("model", asking.model)):
        block = block.append_column(name, pa.array([value] * block.num_rows, pa.string()))
    return block.select(schemas.ANSWERS.names)


def blocks(dataset: Dataset) -> Generator[pa.Table, None, None]:
    """The blocks of `dataset` that hold rows, as they are computed."""
    for block in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        table = cast(pa.Table, block)
        if table.num_rows:
            yield table


def root_cause(error: Exception) -> str:
    """Ray's message is the remote traceback; in it the exception raised first says what went wrong."""
    found = re.search(r"^[A-Za-z_][\w.]*(?:Error|Exception|StageFailed|BadInput)\b: .+", str(error), re.MULTILINE)
    return found[0] if found else str(error).strip().partition("\n")[0]
