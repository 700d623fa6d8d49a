"""What a finished run's tables cost to store and to read, against the whole of the run.

    python benchmarks/tables.py [out/runs/demo]

Every part of every stage is read once for each stage that reads it, checksum and all, and written once to another
folder of the same disk, part by part as the stage did. The peer is what the run's stages took. It needs a finished run
whose stages were all made, as `make demo` leaves one.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter

from syneg import runs
from syneg.errors import BadInput
from syneg.pipeline import graph
from syneg.pipeline.run import Run
from syneg.store import manifest, parts

TARGET = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", nargs="?", default="out/runs/demo")
    try:
        run = runs.load(parser.parse_args().run)
    except BadInput as error:
        sys.exit(str(error))
    with tempfile.TemporaryDirectory() as folder:
        reading, writing = cost(run, folder)
    total = sum(made.seconds for made in run.manifests.values())
    ratio = (reading + writing) / total
    result = {
        "name": "tables",
        "ours": round(reading + writing, 3),
        "peer": round(total, 3),
        "ratio": round(ratio, 4),
        "target": f"<= {TARGET}",
        "holds": ratio <= TARGET,
        "seconds": {"reading": round(reading, 3), "writing": round(writing, 3)},
        "parts": sum(len(listed) for made in run.manifests.values() for listed in made.tables.values()),
    }
    print(json.dumps(result))
    sys.exit(0 if result["holds"] else 1)


def cost(run: Run, folder: str) -> tuple[float, float]:
    """Seconds of reading and of writing."""
    readers = Counter(address for stage in graph.stages(run.config) for address in stage.reads.values())
    reading = writing = 0.0
    for stage, made in run.manifests.items():
        for table, listed in made.tables.items():
            place = manifest.place(run.config.store.root, made, table)
            for part in listed:
                began = time.perf_counter()
                rows = parts.read(place, part)
                read = time.perf_counter()
                parts.put(rows, f"{folder}/{stage}", table)
                writing += time.perf_counter() - read
                reading += (read - began) * readers[f"{stage}.{table}"]
    return reading, writing


if __name__ == "__main__":
    main()
