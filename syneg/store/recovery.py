"""What earlier attempts left, so that nothing is paid for twice: of this very output, and of others like it."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syneg import schemas
from syneg.errors import StoreError
from syneg.keyset import KeySet, digests
from syneg.stage import Recovered
from syneg.store import files, manifest, parts
from syneg.store.manifest import Part
from syneg.store.tables import StoredTable

_OUTPUTS = 16  # of one stage that are looked through for rows to take over, the newest ones


@dataclass(frozen=True)
class RecoveredParts(Recovered):
    """With the parts that hold the rows. No key is in two of them."""

    parts: tuple[Part, ...]


def recover(folder: str, table: str) -> RecoveredParts:
    """What a killed attempt left of a table below `folder`.

    Tasks that were retried may have put the same rows in other company; the later part is then written anew without
    them. Raises StoreError if a part is damaged.
    """
    (key,) = schemas.KEYS[table]
    names = [name for name, _ in files.files_below(files.join(folder, table))]
    found: list[tuple[Part, np.ndarray]] = []
    with ThreadPoolExecutor(parts.READERS) as pool:
        for part, keys in pool.map(partial(_keys_of, folder, table, key), names):
            found.append((part, keys))
    everything = np.concatenate([keys for _, keys in found]) if found else digests(())
    repeated = _repeated(everything)
    kept, start = [], 0
    for part, keys in found:
        again = repeated[start : start + len(keys)]
        start += len(keys)
        if not again.any():
            kept.append(part)
        elif not again.all():
            _, rows = parts.read_unlisted(folder, table, part.name)
            kept.append(parts.put(rows.filter(pa.array(~again)), folder, table))
    return RecoveredParts(KeySet(everything), StoredTable(files.join(folder, table), tuple(kept)), tuple(kept))


def _keys_of(folder: str, table: str, key: str, name: str) -> tuple[Part, np.ndarray]:
    part, rows = parts.read_unlisted(folder, table, name)
    return part, digests(rows[key].to_pylist())


def _repeated(keys: np.ndarray) -> np.ndarray:
    """bool [N]: which are earlier in `keys` already."""
    order = np.argsort(keys, kind="stable")
    again = np.zeros(len(keys), bool)
    again[order[1:]] = keys[order[1:]] == keys[order[:-1]]
    return again


class Earlier:
    """The rows of a table in a stage's other outputs under the same root, by what they were made from.

    With `facts`, of the finished outputs whose manifests state them; without, of those that a killed attempt left, too.
    A row with an error is left out: it is asked again.
    """

    def __init__(self, root: str, stage: str, fingerprint: str, table: str, facts: Mapping[str, Any]) -> None:
        self._key, self._table = schemas.MADE_FROM[table], table
        self._parts = list(_other_parts(root, stage, fingerprint, table, facts))
        with ThreadPoolExecutor(parts.READERS) as pool:
            found = list(pool.map(lambda place: digests(self._usable(*place)[self._key].to_pylist()), self._parts))
        self.keys = KeySet(np.concatenate(found) if found else None)

    def rows(self, wanted: KeySet) -> Iterator[pa.Table]:
        """One row for each of `wanted` that is in here."""
        missing = wanted & self.keys
        for place in self._parts:
            if not len(missing):
                return
            rows = self._usable(*place)
            chosen = rows.filter(pa.array(missing.mask(rows[self._key])))
            if chosen.num_rows:
                found = digests(chosen[self._key].to_pylist())
                missing -= KeySet(found)
                yield chosen.filter(pa.array(~_repeated(found)))

    def _usable(self, folder: str, name: str) -> pa.Table:
        try:
            _, rows = parts.read_unlisted(folder, self._table, name)
        except StoreError:  # no manifest here depends on it, so its rows are made again; `syneg verify` names it
            return pa.table({self._key: pa.array([], pa.string())})
        return rows.filter(pc.field("error").is_null()) if "error" in rows.column_names else rows


def _other_parts(
    root: str, stage: str, fingerprint: str, table: str, facts: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """(folder, part's name) of the newest other outputs; of a finished one just those that its manifest lists."""
    newest: dict[str, float] = {}
    names: dict[str, list[str]] = {}
    for entry in files.entries_below(files.join(root, stage)):
        output, _, inside = entry.name.partition("/")
        if output != fingerprint and inside.startswith(f"{table}/"):
            newest[output] = max(newest.get(output, 0.0), entry.modified)
            names.setdefault(output, []).append(inside.removeprefix(f"{table}/"))
    for output in sorted(newest, key=newest.__getitem__, reverse=True)[:_OUTPUTS]:
        try:
            made = manifest.load(root, stage, output)
        except StoreError:
            continue  # no manifest here depends on it
        if facts and not (made and facts.items() <= made.facts.items()):
            continue
        listed = [part.name for part in made.tables.get(table, ())] if made else names[output]
        yield from ((manifest.output_folder(root, stage, output), name) for name in listed)
