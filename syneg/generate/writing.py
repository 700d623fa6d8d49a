"""Having the LLM write: answers as they come, what is asked again, and what ends it early (errors, the budget)."""

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
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
from syneg.generate.advice import advice
from syneg.generate.answers import Answer, parse, schema
from syneg.generate.attributes import Attributes
from syneg.generate.engines.asked import ANSWERED, LIGHTLY, LIGHTLY_AFTER, Decoding, Pieces
from syneg.generate.gate import reject_reason
from syneg.generate.keys import request_key
from syneg.generate.prompts import Prompt
from syneg.generate.reasons import NOT_ANSWERED
from syneg.generate.requests import EARLIER, REQUEST, RequestMaker
from syneg.generate.spending import Spent
from syneg.keyset import KeySet
from syneg.settings.generate import Budget, GateConfig, GenerateConfig
from syneg.stage import Context
from syneg.texts import first_words

_SHOWN_AGAIN = 200  # words of a rejected answer that the LLM is shown
_STORED_TOGETHER = 256  # pieces of failed requests, mostly of a row or two
Made = Callable[[KeySet], Dataset]
"""The requests but for those whose negative_id is given."""


def decoding(generate: GenerateConfig) -> Decoding:
    """What all requests for a negative have in common."""
    return Decoding(
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


def at_stake(context: Context) -> int:
    """The requests that a worker may be at, by the rate that `resources.estimate` states."""
    rates = context.resources.estimate
    return context.stake.at(rates.output_tokens_per_second / rates.output_tokens)


def answers(
    make: Made, done: KeySet, open_requests: int, prompt: Prompt, maker: RequestMaker, spent: Spent, context: Context
) -> Iterator[pa.Table]:
    """Blocks of schemas.ANSWERS as they come. The engine starts when the first is taken, and ends with the last.

    A retried answer appears once, in its last form. Failed requests are stored last, so that an interrupted attempt
    retries them.

    Raises:
        StageFailed: the engine failed too often or stopped, or the budget is spent. The blocks before are whole.
    """
    generate, budget = maker.generate, maker.generate.budget
    total = len(done) + open_requests
    context.progress(f"0/{open_requests} answers, the first take longest")
    aside = _Aside()
    room = admission.room(_room(spent, budget, context))
    try:
        for attempt in range(generate.retries + 1):
            if spent.ended(budget):
                break
            requests = aside.asked_again() if attempt else make(done)
            # Closed also where it is left early, so that the engine's workers end with it.
            with closing(_answered(admission.admitted(requests, room), prompt, maker, context)) as found:
                for block in found:
                    spent.add(block)
                    spent.time(block)
                    final, failed = aside.put(block, last=attempt == generate.retries, known=budget.capped)
                    spent.answered += final.num_rows
                    spent.failed += failed
                    context.progress(spent.progress(open_requests))
                    yield _as_stored(final, maker)
                    spent.check_errors(block, len(done), total, generate)
                    under_way = room.give.remote(block["negative_id"].to_pylist(), _room(spent, budget, context))
                    if not ray.get(under_way) and spent.ended(budget):
                        break
            if not aside.rejected:
                break
        if spent.ended(budget) and spent.answered + spent.failed < open_requests:
            yield from _beyond_budget(make, done, aside, maker, spent, total)
        yield from (_as_stored(rows, maker) for rows in aside.failures())
    except ray.exceptions.RayError as error:
        cause = root_cause(error)
        see = "See to generate.engine and resources.generate, then run the same command again."
        raise StageFailed(
            f"generate: the engine stopped after {len(done) + spent.answered} of {total} answers: {cause}\n"
            f"{spent.kept(len(done))}{advice(cause, generate.engine, 'generate.engine', see)}"
        ) from error


def _room(spent: Spent, budget: Budget, context: Context) -> int:
    """The requests that may be with the engine or on their way to the store. Two pieces at least: those that are asked
    again come in odd sizes, of which an engine waits for more than one."""
    rows = at_stake(context)
    pieces = Pieces.of(context.resources.generate, rows)
    return spent.room(budget, 2 * pieces.rows, rows * context.resources.generate.max_workers)


@dataclass
class _Aside:
    """Answered rows that are not stored yet: references, so that Ray's object store holds them, or the disk."""

    rejected: list[Any] = field(default_factory=list)  # to be asked for again
    earlier: list[Any] = field(default_factory=list)  # as they were when they were asked for again
    failed: list[Any] = field(default_factory=list)  # by the engine
    settled: set[str] = field(default_factory=set)  # ids of what failed or is stored, if they are to be `known`

    def put(self, block: pa.Table, last: bool, known: bool) -> tuple[pa.Table, int]:
        """The answers that are final, and how many failed. The others are asked for again, unless it is the `last`
        time."""
        failed = block.filter(pc.field("error").is_valid())
        answered = block.filter(pc.field("error").is_null())
        again = answered.slice(0, 0) if last else answered.filter(pc.field("reason").is_valid())
        final = answered if last else answered.filter(pc.field("reason").is_null())
        self.rejected += _put(again)
        self.failed += _put(failed)
        if known:
            self.settled.update(final["negative_id"].to_pylist(), failed["negative_id"].to_pylist())
        return final, failed.num_rows

    def asked_again(self) -> Dataset:
        self.rejected, self.earlier = [], self.rejected
        return ray.data.from_arrow_refs(self.earlier).map_batches(_asked_again, **LIGHTLY)

    def left(self) -> Iterator[pa.Table]:
        """The rejected ones for which no other answer came, as they were answered last."""
        for reference in (*self.rejected, *self.earlier):
            rows: pa.Table = ray.get(reference)
            rows = rows.filter(pa.array([name not in self.settled for name in rows["negative_id"].to_pylist()]))
            self.settled.update(rows["negative_id"].to_pylist())
            yield rows

    def failures(self) -> Iterator[pa.Table]:
        """In few blocks, since each is a part of its own in the store."""
        for start in range(0, len(self.failed), _STORED_TOGETHER):
            yield pa.concat_tables(ray.get(self.failed[start : start + _STORED_TOGETHER]))


def _put(rows: pa.Table) -> list[Any]:
    return [ray.put(rows)] if rows.num_rows else []


def _answered(
    requests: Dataset, prompt: Prompt, maker: RequestMaker, context: Context
) -> Generator[pa.Table, None, None]:
    generate = maker.generate
    rendered = requests.map_batches(partial(render, prompt=prompt, seed=generate.seed), **LIGHTLY)
    answered = engine.answer(
        rendered, list(REQUEST.names), decoding(generate), generate.engine, context.resources, at_stake(context)
    )
    return blocks(answered.map_batches(partial(_looked_at, generate=generate), **LIGHTLY_AFTER))


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
    names = [name for name in (*REQUEST.names, *ANSWERED.names) if name not in made]
    return pa.table({name: batch[name] for name in names} | made)


def _reason(row: dict[str, Any], generate: GenerateConfig) -> str | None:
    """The first rule of the gate, at its default limits, that the answer breaks."""
    found = parse(
        row["answer"], row["finish_reason"], reflection=generate.reflection, negatives=generate.negatives_per_answer
    )
    for negative in found:
        if not isinstance(negative, Answer):
            return None if negative in NOT_ANSWERED else negative
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


def _beyond_budget(
    make: Made, done: KeySet, aside: _Aside, maker: RequestMaker, spent: Spent, total: int
) -> Iterator[pa.Table]:
    """What becomes of the requests that the budget did not reach."""
    budget = maker.generate.budget
    for rows in aside.left():
        spent.answered += rows.num_rows
        yield _as_stored(rows, maker)
    if budget.on_reached == "stop" or spent.unknown:
        raise spent.ending(budget, len(done), total)
    for block in blocks(make(done | KeySet.of(aside.settled))):
        yield _as_stored(_never_asked(block), maker)


def _never_asked(requests: pa.Table) -> pa.Table:
    rows = requests.num_rows
    zeros = pa.array([0] * rows, pa.int32())
    made = {name: pa.nulls(rows, kind) for name, kind in zip(ANSWERED.names, ANSWERED.types, strict=True)}
    made |= {"input_tokens": zeros, "output_tokens": zeros, "attempts": zeros, "answer": pa.array([""] * rows)}
    made["finish_reason"] = pa.array(["over_budget"] * rows)
    made["error"] = pa.array(["generate.budget was spent"] * rows)  # so that no other output takes the row over
    return pa.table({name: requests[name] for name in requests.column_names} | made)


def _as_stored(block: pa.Table, maker: RequestMaker) -> pa.Table:
    for name, value in (("prompt_version", maker.prompt_version), ("model", maker.model)):
        block = block.append_column(name, pa.array([value] * block.num_rows, pa.string()))
    return block.select(schemas.ANSWERS.names)


def blocks(dataset: Dataset) -> Generator[pa.Table, None, None]:
    """The blocks of `dataset` that hold rows, as they are computed."""
    for block in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        table = cast(pa.Table, block)
        if table.num_rows:
            yield table


def root_cause(error: Exception) -> str:
    """Ray's message is the remote traceback; in it the exception raised first says what went wrong. Ours say it
    without their name."""
    named = r"^(?:[A-Za-z_]\w*\.)*(?:(?:StageFailed|BadInput): (?P<ours>.+)|(?P<other>\w*(?:Error|Exception): .+))"
    found = re.search(named, str(error), re.MULTILINE)
    return found["ours"] or found["other"] if found else str(error).strip().partition("\n")[0]
