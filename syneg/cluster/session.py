"""Joining a Ray cluster, or starting one on this machine for the length of a run."""

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from syneg import termination
from syneg.errors import BadInput, StageFailed
from syneg.settings.resources import ResourcesConfig
from syneg.settings.store import StorageConfig
from syneg.store import retry_count

_CONNECT_SECONDS = 10.0
# Read when Ray is imported. A thread that outlives a stopped run would otherwise start a Ray that nobody ends.
os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")


@contextmanager
def joined(resources: ResourcesConfig, storage: StorageConfig) -> Iterator[None]:
    """Ray is up inside, and its workers reach object storage as the driver does.

    A Ray that was running before is used and left running; one started here ends with it.

    Raises:
        BadInput: no cluster can be joined at the address that is given.
        StageFailed: without an address, none can be started here.
    """
    import ray

    _quiet()
    if ray.is_initialized():
        yield
        return
    # Workers started without a runtime environment are there at once; with one they are started when needed.
    variables = storage.environment
    environment: dict[str, Any] = {"runtime_env": {"env_vars": variables}} if variables else {}
    address = resources.cluster
    with termination.kept(), _core_kept_quiet():
        if address:
            _check_address(address, resources)
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **environment)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise _not_joined(address, resources, str(error)) from error
        else:
            _start(resources, environment)
    try:
        with _counting_retries():
            yield
    finally:
        ray.shutdown()


def _start(resources: ResourcesConfig, environment: dict[str, Any]) -> None:
    """Raises StageFailed if this machine does not get Ray up: it gives up after half a minute."""
    import ray

    try:
        ray.init(
            address="local",
            num_cpus=resources.cpus,
            object_store_memory=int(resources.object_store_gib * 2**30),
            # Ray would run its workers, the engine among them, behind everything else on the machine.
            _system_config={"worker_niceness": 0},
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **environment,
        )
    except Exception as error:  # Ray raises no narrower one
        raise StageFailed(
            f"Ray did not start on this machine: {error}\nIt may be busy with something else, or short of memory. Run "
            "the same command again; finished stages are kept."
        ) from error


def _check_address(address: str, resources: ResourcesConfig) -> None:
    """Ray would try for half a minute, deaf to signals, to reach a head that is not there.

    Raises:
        BadInput: `address` is a dashboard's, or nobody listens there.
    """
    if address.startswith(("http://", "https://")):
        raise _not_joined(address, resources, "that is where a dashboard takes jobs")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
        except OSError as error:
            raise _not_joined(address, resources, str(error)) from error


def _not_joined(address: str, resources: ResourcesConfig, why: str) -> BadInput:
    if resources.address:
        name, without = "resources.address", "resources.address=null"
    else:
        name, without = "the environment's RAY_ADDRESS", "`env -u RAY_ADDRESS`"
    return BadInput(
        f"No cluster can be joined at {name}={address}: {why}\nGive a Ray head's HOST:6379, or auto on a machine of "
        f"the cluster; with {without} the run starts a Ray of its own. A dashboard's URL (http://HOST:8265) is for "
        "`syneg submit --address`."
    )


@contextmanager
def _counting_retries() -> Iterator[None]:
    retry_count.start()
    try:
        yield
    finally:
        retry_count.stop()


def width(resources: ResourcesConfig) -> int:
    """How many stages may run at a time: generate and gate beside embed and mine, where there is a cluster for both."""
    if resources.side_by_side is None:
        return 2 if resources.cluster else 1
    return 2 if resources.side_by_side else 1


def _quiet() -> None:
    """The pipeline shows the progress; Ray's own bars and hints would tear its lines apart. Its log files keep all."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # read when ray.data.llm imports vLLM, engines excepted
    # Of results that nobody waits for: Ray Data's own, which a failed stage leaves behind. Ours are all waited for.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.issue_detectors_config.detectors = []
    llm = logging.getLogger("ray.llm")
    if not llm.handlers:  # with a handler of its own here, none of its modules adds one that prints everything
        llm.addHandler(logging.StreamHandler())
    for name in ("ray", "ray.data", "ray.train", "ray.llm"):
        logging.getLogger(name).setLevel(logging.ERROR)
        # What Ray Data tells as an error it raises as well, and the stage says it in a sentence.
        shown = logging.CRITICAL if name == "ray.data" else logging.ERROR
        for handler in logging.getLogger(name).handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                handler.setLevel(shown)


@contextmanager
def _core_kept_quiet() -> Iterator[None]:
    """While Ray's core starts in this process inside: it then says nothing but what ends the process.

    Otherwise every run shows an error that is none of ours: the pools of Ray Data hand their arguments over in a way
    that Ray warns of. `RAY_BACKEND_LOG_LEVEL` in the environment leaves the core as talkative as it says.
    """
    name = "RAY_BACKEND_LOG_LEVEL"
    if name in os.environ or sys.stderr is None:
        yield
        return
    sys.stderr.flush()
    shown = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        os.putenv(name, "fatal")  # not os.environ, which Ray's other processes are given: their log files keep all
        try:
            yield
        finally:
            os.unsetenv(name)
            sys.stderr.flush()
            os.dup2(shown, 2)
            os.close(shown)
            caught.seek(0)
            # All but the line in which the core tells that it took the level.
            if said := b"".join(line for line in caught if name.encode() not in line):
                os.write(2, said)
