"""Whether a finished output is what its manifest says: every byte, every row, every key."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from syneg import schemas
from syneg.errors import StoreError
from syneg.keyset import digests
from syneg.store import files, folders, manifest, parts
from syneg.store.manifest import Manifest, Part


@dataclass(frozen=True)
class Audited:
    """What was read of one stage's output and found to be true."""

    parts: int
    rows: int
    bytes: int


def check(root: str, made: Manifest) -> Audited:
    """Reads all that a finished stage wrote.

    Raises:
        StoreError: the first thing that is not as the manifest says.
    """
    if made.rows_in != made.rows_out + sum(made.rejected.values()):
        raise StoreError(
            f"{made.stage}: {made.rows_in:,} rows came in, but {made.rows_out:,} went out and "
            f"{sum(made.rejected.values()):,} were rejected."
        )
    for table, listed in made.tables.items():
        _check_table(manifest.place(root, made, table), table, listed)
    for folder, listed in made.folders.items():
        place = manifest.place(root, made, folder)
        for part in listed:
            folders.check_part(place, part)
    everything = [part for listed in (made.tables | made.folders).values() for part in listed]
    return Audited(len(everything), sum(part.rows for part in everything), sum(part.bytes for part in everything))


def _check_table(folder: str, table: str, listed: list[Part]) -> None:
    """Checksums, schema, counts of rows and reasons, and that no key appears twice. Holds 16 bytes a row."""
    names = schemas.KEYS[table]
    keys: list[np.ndarray] = []
    for part, rows in zip(listed, parts.read_all(folder, listed), strict=True):
        path = files.join(folder, part.name)
        expected = parts.schema_of(table, rows.schema)
        if not rows.schema.equals(expected):
            raise StoreError(f"{path} does not have the columns of {table}.\nSeen: {rows.schema}\nExpected: {expected}")
        if rows.num_rows != part.rows:
            raise StoreError(f"{path} has {rows.num_rows:,} rows; its manifest says {part.rows:,}.")
        if "reject_reason" in rows.column_names:
            seen = Counter(rows["reject_reason"].drop_null().to_pylist())
            if seen != part.rejected:
                raise StoreError(f"{path} has the reasons {dict(seen)}; its manifest says {part.rejected}.")
        keys.append(digests(zip(*(rows[name].to_pylist() for name in names), strict=True)))
    together = np.concatenate(keys) if keys else digests(())
    if len(np.unique(together)) != len(together):
        raise StoreError(f"{folder}: a key ({', '.join(names)}) stands twice in {table}.")
