"""What a person decided about instances and negatives: JSON Lines that the report page's review tab writes.

    {"query_id": "q1", "positive_id": "p1", "decision": "reject"}                          the whole instance
    {"query_id": "q1", "positive_id": "p1", "negative_id": "n7", "decision": "reject"}     one negative of it

"accept" changes nothing: it says that somebody looked. Of two decisions about the same thing the later counts. Other
keys (a note, who, when) are left alone.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from syneg.errors import BadInput
from syneg.store import files

Key = tuple[str, str]  # query_id, positive_id
_LISTED = 3  # rejections without effect, by name


@dataclass(frozen=True)
class Review:
    instances: Mapping[Key, bool] = field(default_factory=dict)  # True: accepted
    negatives: Mapping[tuple[str, str, str], bool] = field(default_factory=dict)

    def rejects(self, key: Key) -> bool:
        return not self.instances.get(key, True)

    def rejects_negative(self, key: Key, negative_id: str) -> bool:
        return not self.negatives.get((*key, negative_id), True)

    def warnings(self, struck: Collection[tuple[str, ...]]) -> list[str]:
        """What to do about rejections without effect, in words. `struck`: the keys of those that had one."""
        decisions: dict[tuple[str, ...], bool] = {**self.instances, **self.negatives}
        rejections = {key for key, accepted in decisions.items() if not accepted}
        lost = sorted(rejections.difference(struck))
        if not lost:
            return []
        listed = "; ".join(", ".join(key) for key in lost[:_LISTED]) + ("; ..." if len(lost) > _LISTED else "")
        return [
            f"mix.review: {len(lost):,} of {len(rejections):,} rejections changed nothing: they name a pair that is "
            f"not here, or a negative that its pair would not get ({listed}). If the review was written for an earlier "
            "mix, look at these queries again in the new report; else correct the ids, or delete the lines."
        ]


def load(path: str | None) -> Review:
    """The decisions in the file at `path`; none if it is None.

    Raises:
        BadInput: a line is no decision.
    """
    instances: dict[Key, bool] = {}
    negatives: dict[tuple[str, str, str], bool] = {}
    for number, line in enumerate(_lines(path) if path else (), start=1):
        if not line.strip():
            continue
        row = _decision(line, f"mix.review: {path}:{number}")
        key, accepted = (row["query_id"], row["positive_id"]), row["decision"] == "accept"
        if row.get("negative_id") is None:
            instances[key] = accepted
        else:
            negatives[(*key, row["negative_id"])] = accepted
    return Review(instances, negatives)


def _lines(path: str) -> list[str]:
    """Cut at line feeds alone: a note may hold what Unicode counts as the end of a line."""
    try:
        return files.read(path).decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise BadInput(f"mix.review: {path} is no UTF-8 ({error}). Convert it.") from error


def _decision(line: str, where: str) -> dict[str, str]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise BadInput(f"{where}: no valid JSON ({error}).") from error
    named = isinstance(row, dict) and all(isinstance(row.get(key), str) for key in ("query_id", "positive_id"))
    if not named or row.get("decision") not in ("accept", "reject") or not isinstance(row.get("negative_id", ""), str):
        raise BadInput(
            f'{where}: expected {{"query_id": ..., "positive_id": ..., "decision": "accept" or "reject"}} with an '
            f"optional negative_id, all strings; seen {line[:200]}"
        )
    return row
