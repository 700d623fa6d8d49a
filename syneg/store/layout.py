"""The names of what is stored: made here for those who write, and known again here for `syneg gc`, which removes.

ROOT/STAGE/FINGERPRINT/manifest.json           STAGE_ROUND, e.g. mine_1, in the rounds before the last
ROOT/STAGE/FINGERPRINT/TABLE/part-SHA.parquet
ROOT/STAGE/FINGERPRINT/FOLDER-ATTEMPT/...      versions before wrote FOLDER/...
ROOT/STAGE/FINGERPRINT/attempt/...
ROOT/runs/NAME/run.json, run-DIGEST.json, progress.json
ROOT/evaluations/NAME/evaluation.json
"""

import re
import uuid
from typing import NamedTuple

from syneg.stage import Stage

MANIFEST = "manifest.json"
ATTEMPT = "attempt"  # beside a stage's tables: what its function keeps for an attempt that goes on after a death
RUNS, RECORD, PROGRESS = "runs", "run.json", "progress.json"
EVALUATIONS, EVALUATION = "evaluations", "evaluation.json"

FINGERPRINT_DIGITS = 16  # hexadecimal: 64 bits, as many as there will ever be outputs under one root
RECORD_DIGITS = 16
_PART_DIGITS = 32
_PLACE_DIGITS = 8

_ROUND = re.compile(r"_\d+\Z")


def _hex(digits: int) -> str:
    return f"[0-9a-f]{{{digits}}}"


_EARLIER = rf"run-{_hex(RECORD_DIGITS)}\.json"
_OUTPUT = re.compile(rf"(?P<output>(?P<stage>[^/]+)/{_hex(FINGERPRINT_DIGITS)})/(?P<inside>.+)")
_RECORDS = re.compile(rf"{RUNS}/[^/]+/({re.escape(RECORD)}|{_EARLIER})|{EVALUATIONS}/[^/]+/{re.escape(EVALUATION)}")
_PROGRESS = re.compile(rf"{RUNS}/[^/]+/{re.escape(PROGRESS)}")


class InOutput(NamedTuple):
    output: str  # "mine_1/FINGERPRINT"
    stage: str  # its kind: "mine"
    inside: str  # the path within


def of_round(stage: str, number: int) -> str:
    """The name of `stage` in a round before the last."""
    return f"{stage}_{number}"


def kind(stage: str) -> str:
    """The name without the round: of "mine_1" it is "mine", of "score_bm25" all of it."""
    return _ROUND.sub("", stage)


def part(sha256: str) -> str:
    """The name of a part of a table, from its content."""
    return f"part-{sha256[:_PART_DIGITS]}.parquet"


def new_place(folder: str) -> str:
    """Where this attempt puts a stage's `folder`: another driver's files have the same names."""
    return f"{folder}-{uuid.uuid4().hex[:_PLACE_DIGITS]}"


def written_by(stage: Stage) -> re.Pattern[str]:
    """The paths, within an output, of what this stage and the pipeline put there."""
    tables = [rf"{table}/part-{_hex(_PART_DIGITS)}\.parquet" for table in stage.writes]
    places = [rf"{folder}(-{_hex(_PLACE_DIGITS)})?/.+" for folder in stage.folders]
    return re.compile("|".join([re.escape(MANIFEST), f"{ATTEMPT}/.+", *tables, *places]))


def in_output(path: str) -> InOutput | None:
    """What `path`, below the root, says if it may be a stage's."""
    known = _OUTPUT.fullmatch(path)
    return InOutput(known["output"], kind(known["stage"]), known["inside"]) if known else None


def earlier_record(digest: str) -> str:
    """The name of the record of a run that is no longer the newest of its name."""
    return f"run-{digest[:RECORD_DIGITS]}.json"


def is_earlier_record(name: str) -> bool:
    return re.fullmatch(_EARLIER, name) is not None


def is_record(path: str) -> bool:
    """Whether `path`, below the root, is a record of what a run or an evaluation stands on."""
    return _RECORDS.fullmatch(path) is not None


def is_progress(path: str) -> bool:
    return _PROGRESS.fullmatch(path) is not None
