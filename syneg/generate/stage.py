"""Phase 1 as two stages: `run` has the LLM write, which is dear; `check` gates what it wrote, which is cheap.

They are two because whether a negative duplicates another is known only when all are written, while what was written
has to be stored piece by piece so that a killed attempt costs no token twice. It also leaves the gate's settings free
to change.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import chain, islice
from typing import Any, cast

import pyarrow as pa
import ray
import ray.data
import ray.exceptions

from syneg import schemas
from syneg.errors import StageFailed
from syneg.generate import attributes, duplicates, engine, prompts
from syneg.generate.answers import Answer, parse, schema
from syneg.generate.attributes import Attributes
from syneg.generate.engines.asked import LIGHT, Asked
from syneg.generate.gate import reject_reason, words
from syneg.generate.keys import request_key
from syneg.generate.prompts import Prompt
from syneg.generate.requests import REQUEST, Asking, training_pairs, with_positives
from syneg.generate.survey import Survey, survey
from syneg.settings.generate import GateConfig, GenerateConfig
from syneg.stage import Context, Inputs, Output

_GATE_ROWS = 1024  # answers that are gated at once


def run(inputs: Inputs, context: Context, *, generate: GenerateConfig) -> Output:
    """Asks for `samples_per_pair` negatives for every (training query, relevant passage with a text).

    Reads passages, queries and qrels; writes answers, one row a request, whatever came of it.

    Raises:
        BadInput: the prompt, the attributes, the model or the recorded answers are not there or not as expected.
        StageFailed: the engine failed more than `max_error_rate` of the requests. The other answers are kept.
    """
    prompt = prompts.load(generate.prompt, reflection=generate.reflection, use_attributes=generate.use_attributes)
    lists = attributes.load(generate.attributes) if generate.use_attributes else None
    # Recorded answers were written to a prompt that is not known here.
    version = generate.engine.kind if generate.engine.kind == "recorded" else prompt.version
    asking = Asking(generate, lists, version, engine.identity(generate.engine))
    pairs = with_positives(
        training_pairs(inputs.tables["queries"].table(), inputs.tables["qrels"].table()),
        partial(inputs.tables["passages"].blocks, ["passage_id", "title", "text"]),
        generate.max_pairs,
    )
    requests = (request for pair in pairs for request in asking.requests(pair))
    done = context.done.get("answers", ())
    earlier = context.earlier.get("answers")
    taken: list[str] = []  # ids of answers that stand in another output
    # The rows wait in the object store, which spills to disk, in pieces that are asked for and stored each by itself.
    pieces: list[Any] = []  # of references to tables
    total = missing = 0
    while piece := list(islice(requests, min(context.resources.generate.batch_rows, context.part_rows))):
        unstored = [request for request in piece if request["negative_id"] not in done]
        taken += [request["negative_id"] for request in unstored if earlier and request["negative_id"] in earlier]
        open_requests = [request for request in unstored if not (earlier and request["negative_id"] in earlier)]
        pieces += [ray.put(pa.Table.from_pylist(open_requests, REQUEST))] if open_requests else []
        total += len(piece)
        missing += len(open_requests)
    answers = _answers(pieces, missing, prompt, asking, context) if missing else iter(())
    facts = {"requests": total, "engine": generate.engine.kind, "model": asking.model, "prompt_version": version}
    saved = Counter(rows=0, input_tokens=0, output_tokens=0)
    found = _counted(earlier.rows(taken), saved) if earlier else iter(())
    return Output(rows_in=total, tables={"answers": chain(found, answers)}, facts=lambda: facts | {"taken_over": saved})


def _counted(blocks: Iterator[pa.Table], saved: Counter[str]) -> Iterator[pa.Table]:
    for block in blocks:
        saved["rows"] += block.num_rows
        for name in ("input_tokens", "output_tokens"):
            saved[name] += int(block[name].to_numpy().sum())
        yield block


def _answers(pieces: list[Any], requests: int, prompt: Prompt, asking: Asking, context: Context) -> Iterator[pa.Table]:
    """Blocks of answers as they come. The engine starts when the first is taken, and ends with the last."""
    generate = asking.generate
    rendered = ray.data.from_arrow_refs(pieces).map_batches(
        partial(_render, prompt=prompt, seed=generate.seed),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=LIGHT,
    )
    answered, errors = 0, []
    context.progress(f"0/{requests} answers, the engine starts")
    columns = [name for name in REQUEST.names if name != "sample"]
    answers = engine.answer(rendered, columns, asked(generate), generate.engine, context.resources, context.part_rows)
    try:
        for block in _blocks(answers):
            answered += block.num_rows
            errors += block["error"].drop_null().to_pylist()
            # Raised before the block is stored, so that what failed too often is asked again by the next attempt.
            if len(errors) > generate.max_error_rate * requests:
                raise StageFailed(
                    f"generate: the engine failed {len(errors)} of {requests} requests, more than "
                    f"generate.max_error_rate={generate.max_error_rate}. The last one said: {errors[-1]}\n"
                    "The answers before are kept. See to the engine, then run the same command again."
                )
            context.progress(f"{answered}/{requests} answers")
            yield _with_constants(block, prompt_version=asking.prompt_version, model=asking.model)
    except ray.exceptions.RayError as error:
        raise StageFailed(
            f"generate: the engine stopped after {answered} of {requests} answers: {_root_cause(error)}\n"
            "The answers are kept. See to generate.engine and resources.generate, then run the same command again."
        ) from error


def asked(generate: GenerateConfig) -> Asked:
    """What all requests for a negative have in common."""
    return Asked(
        max_tokens=generate.max_tokens,
        max_model_len=generate.max_model_len,
        temperature=generate.temperature,
        top_p=generate.top_p,
        repetition_penalty=generate.repetition_penalty,
        schema=schema(
            reflection=generate.reflection,
            max_reasoning_chars=generate.max_reasoning_chars,
            min_negative_chars=generate.min_negative_chars,
            max_negative_chars=generate.max_negative_chars,
        ),
    )


def _root_cause(error: Exception) -> str:
    """Ray's message is the remote traceback; in it the exception raised first says what went wrong."""
    found = re.search(r"^[A-Za-z_][\w.]*(?:Error|Exception|StageFailed|BadInput)\b: .+", str(error), re.MULTILINE)
    return found[0] if found else str(error).strip().partition("\n")[0]


def _render(batch: pa.Table, prompt: Prompt, seed: int) -> pa.Table:
    messages = []
    for row in batch.to_pylist():
        key = request_key(row["query_id"], row["positive_id"], row["sample"])
        mark = prompts.fence(seed, key, row["query"], row["positive"])
        drawn = Attributes(row["domain"], row["difficulty"], row["length"])
        messages.append(prompt.messages(row["query"], row["positive"], drawn, mark))
    return batch.append_column("messages", pa.array(messages, prompts.MESSAGES))


def _with_constants(block: pa.Table, **values: str) -> pa.Table:
    for name, value in values.items():
        block = block.append_column(name, pa.array([value] * block.num_rows, pa.string()))
    return block


def check(inputs: Inputs, context: Context, *, generate: GenerateConfig, gate: GateConfig) -> Output:
    """Parses and gates every answer. Reads answers; writes synthetic, accepted and rejected rows alike."""
    gated = (
        inputs.tables["answers"]
        .dataset()
        .map_batches(
            partial(_gate, reflection=generate.reflection, gate=gate), batch_size=_GATE_ROWS, batch_format="pyarrow"
        )
        .materialize()
    )
    # In a task of its own: a million rows are 230 MB there, and only the duplicates' ids come back.
    found: Survey = ray.get(_survey.remote(gated.to_arrow_refs(), gate.max_duplicate_similarity))  # type: ignore[arg-type]
    facts: dict[str, Any] = found.facts | {"engine": generate.engine.kind}
    rows = (_with_duplicates(block, found.duplicates) for block in _blocks(gated))
    return Output(rows_in=facts["requests"], tables={"synthetic": rows}, facts=lambda: facts)


def _blocks(dataset: ray.data.Dataset) -> Iterator[pa.Table]:
    """The blocks of `dataset` that hold rows, as they are computed."""
    for block in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        table = cast(pa.Table, block)
        if table.num_rows:
            yield table


@ray.remote
def _survey(refs: list["ray.ObjectRef[pa.Table]"], threshold: float) -> Survey:
    return survey(lambda: (ray.get(ref) for ref in refs), threshold)


def _gate(batch: pa.Table, reflection: bool, gate: GateConfig) -> pa.Table:
    """Rows of schemas.SYNTHETIC but for duplicates, with what the survey needs beside them."""
    bands = duplicates.rows_per_band(gate.max_duplicate_similarity)
    texts, reasonings, reasons, signatures = [], [], [], []
    for row in batch.to_pylist():
        answer = parse(row["answer"], row["finish_reason"], reflection=reflection)
        if isinstance(answer, Answer):
            reason = reject_reason(answer.hard_negative, row["query"], row["positive"], gate)
        else:
            reason, answer = answer, Answer(row["answer"])  # kept as it came, for a person to read
        grams = None if reason else duplicates.grams(words(answer.hard_negative))
        texts.append(answer.hard_negative)
        reasonings.append(answer.reasoning)
        reasons.append(reason)
        signatures.append(None if grams is None else duplicates.signature(grams, bands).tobytes())
    made = {
        "text": pa.array(texts, pa.string()),
        "reasoning": pa.array(reasonings, pa.string()),
        "reject_reason": pa.array(reasons, pa.string()),
        "signature": pa.array(signatures, pa.binary()),
    }
    kept = [name for name in batch.column_names if name in schemas.SYNTHETIC.names or name in ("asked_at", "seconds")]
    return pa.table({name: batch[name] for name in kept} | made)


def _with_duplicates(block: pa.Table, found: frozenset[str]) -> pa.Table:
    pairs = zip(block["negative_id"].to_pylist(), block["reject_reason"].to_pylist(), strict=True)
    reasons = pa.array([reason or ("duplicate" if name in found else None) for name, reason in pairs], pa.string())
    place = block.column_names.index("reject_reason")
    return block.set_column(place, "reject_reason", reasons).select(schemas.SYNTHETIC.names)
