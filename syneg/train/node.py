"""What a worker finds on its node, and how much of it it takes."""

import resource
import shutil
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist

from syneg.store import folders
from syneg.train.job import Job


def data_folder(job: Job, local_rank: int) -> Path:
    """The data of `job` on this node: the driver's own folder, or a copy that one worker a node brings."""
    folder = job.data
    if not folder.exists() and job.stored_data is not None:
        folder = Path(tempfile.gettempdir()) / f"syneg-{job.stored_data.rsplit('/', 1)[-1]}"
        if local_rank == 0 and not folder.exists():
            half_there = Path(tempfile.mkdtemp(dir=folder.parent))
            folders.fetch(job.stored_data, half_there)
            half_there.rename(folder)
    dist.barrier()
    return folder


def forget_copy(folder: Path, job: Job, local_rank: int) -> None:
    """Removes a copy that every worker has opened: what is mapped into memory stays until it is let go."""
    if local_rank == 0 and folder != job.data:
        shutil.rmtree(folder, ignore_errors=True)


def peak_memory(device: torch.device) -> int:
    """Bytes: of the CUDA device where there is one, of this process otherwise."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
