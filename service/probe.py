"""What a worker answers at a port of its own: whether it lives, and its numbers.

Plain HTTP for the machine that keeps it alive and the one that counts: two paths, `GET` alone, no
id and no word of a session in either.
"""

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from service.observe import Metrics

ASKED_S = 5.0
"""How long who asks may take to ask, and to read; then the line is closed."""


class Probe:
    """Answers `/livez` and `/metrics` in threads of its own, from now until `close`.

    Args:
        host, port: where; port 0: any free one, which `port` then says.
        is_alive: whether the worker does its work; 503 where it does not.
        metrics: its numbers.

    Raises: OSError: it cannot listen there.
    """

    def __init__(
        self, host: str, port: int, is_alive: Callable[[], bool], metrics: Metrics
    ) -> None:
        class Answering(BaseHTTPRequestHandler):
            timeout = ASKED_S
            server_version, sys_version = "rupture", ""

            def do_GET(self) -> None:
                self._answer(*_answer(self.path, is_alive, metrics))

            def _answer(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing: it is asked every few seconds."""

        try:
            self._server = _Server(host, port, Answering)
        except OSError as error:
            raise OSError(error.errno, error.strerror or "unknown host", f"{host}:{port}") from None
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listens no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _answer(path: str, is_alive: Callable[[], bool], metrics: Metrics) -> tuple[int, bytes, str]:
    plain = "text/plain; charset=utf-8"
    if path == "/livez":
        return (200, b"ok", plain) if is_alive() else (503, b"still", plain)
    if path == "/metrics":
        return 200, *metrics.expose()
    return 404, b"", plain


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, host: str, port: int, answering: type[BaseHTTPRequestHandler]) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self.address_family = found[0]
        super().__init__((host, port), answering)

    def handle_error(self, *_: object) -> None:
        """Nothing: who asked has left."""
