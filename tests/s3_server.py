"""A real S3 server for tests: SeaweedFS from its wheel, on loopback, in a process group of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KEY, SECRET = "tester", "tester-secret"


def free_port() -> int:
    """Below 55,000, since the server takes port + 10,000 for gRPC."""
    while True:
        with socket.socket() as probe, socket.socket() as beside:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            if port < 55_000 and beside.connect_ex(("127.0.0.1", port + 10_000)) != 0:
                return port


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The server's URL. It knows one access key, and keeps its data below `folder`."""
    identity = {
        "name": KEY,
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List"],
    }
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    port = free_port()
    ports = [f"-{part}.port={free_port()}" for part in ("master", "volume", "filer")]
    weed = Path(sys.executable).parent / "weed"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [weed, "server", f"-dir={folder / 'data'}", "-s3", f"-s3.port={port}", f"-s3.config={config}", *ports]
            + ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=30", "-master.volumeSizeLimitMB=64"]
            + ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_for(port, server, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError(f"weed ended: {log.read_text()[-2000:]}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"weed does not answer: {log.read_text()[-2000:]}")


def environment(url: str) -> dict[str, str]:
    """What a process needs to reach it, as a user would set it."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }


def make_bucket(url: str, name: str) -> None:
    """As an administrator would, by botocore alone, once the server is ready to write."""
    import botocore.exceptions
    import botocore.session

    client = botocore.session.get_session().create_client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    )
    for attempt in range(60):
        try:
            client.create_bucket(Bucket=name)
            client.put_object(Bucket=name, Key="ready", Body=b"")
            client.delete_object(Bucket=name, Key="ready")
            return
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
            if "BucketAlready" not in str(error) and attempt == 59:
                raise
            time.sleep(0.25)
