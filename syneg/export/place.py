"""Where an export may go."""

from pathlib import Path

from syneg.errors import BadInput
from syneg.store import files


def check(out: str) -> None:
    """Raises BadInput unless `out` is an empty folder, or new and below no file."""
    if any(files.files_below(out)):
        raise BadInput(f"{out} is not empty. Give a new folder; nothing was written.")
    if files.is_remote(out):
        return
    for path in (Path(out), *Path(out).parents):
        if path.exists() and not path.is_dir():
            raise BadInput(f"{out} cannot be a folder: {path} is a file. Give a new folder; nothing was written.")
