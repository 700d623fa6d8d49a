"""An HTTP proxy in front of an S3 server that makes trouble on purpose."""

import http.client
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Fault = Literal["500", "503", "412", "reset", "lost", "cut", "slow"]
"""`reset`: the request never reaches the server. `lost`: the server does it and its answer is lost. `cut`: half of the
answer's body. `slow`: the body comes in drops."""
Chooser = Callable[[str, str, int], Fault | None]
"""(method, path, how many requests there were before) to what goes wrong."""

_CODES = {"500": "InternalError", "503": "SlowDown", "412": "PreconditionFailed"}


class Proxy:
    def __init__(self, url: str) -> None:
        self.url = url
        self.injected: Counter[str] = Counter()
        self.requests = 0


@contextmanager
def before(server_url: str, choose: Chooser) -> Iterator[Proxy]:
    """A proxy on a free port, running inside."""
    target = urlsplit(server_url)
    assert target.hostname
    assert target.port
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with lock:
                fault = choose(self.command, self.path, proxy.requests)
                proxy.requests += 1
                if fault:
                    proxy.injected[fault] += 1
            if fault in _CODES:
                self._refuse(fault)
            elif fault == "reset":
                self._reset()
            else:
                self._forward(body, fault)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _any

        def _refuse(self, status: str) -> None:
            content = f"<Error><Code>{_CODES[status]}</Code><Message>on purpose</Message></Error>".encode()
            self.send_response(int(status))
            self.send_header("Content-Length", str(0 if self.command == "HEAD" else len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def _reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RD)
            self.close_connection = True
            self.connection.close()

        def _forward(self, body: bytes, fault: Fault | None) -> None:
            upstream = http.client.HTTPConnection(target.hostname or "", target.port, timeout=60)
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "connection"):
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            content = answer.read()
            upstream.close()
            if fault == "lost":
                self._reset()
                return
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            if fault == "cut" and content:
                self.wfile.write(content[: len(content) // 2])
                self._reset()
            elif fault == "slow":
                for start in range(0, len(content), 4096):
                    self.wfile.write(content[start : start + 4096])
                    time.sleep(0.002)
            else:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing to the terminal."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A connection that was reset on purpose."""

    server = Server(("127.0.0.1", 0), Handler)
    proxy = Proxy(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
