"""Stands between a program and a server on loopback: counts, lets others go first, loses answers, or lets wait."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SECONDS = 30
_NOT_PASSED_ON = {"connection", "transfer-encoding", "content-length", "server", "date"}


@dataclass(slots=True)
class Meddler:
    """
    What passes, and what happens to it.

    A request is called by its operation (AWS: `PutSecretValue`) or by its method and path
    (`POST /v1/secret/data/x/okx`).

    Fields:
        target: where requests are passed on to.
        address: where it listens.
        asked: every request, in order.
        before: what is done before a request of this name is passed on, once.
        lost: names of requests whose next answer does not come back.
        held: names of requests that wait, and are never passed on, until the meddler ends.
    """

    target: str
    address: str = ""
    asked: list[str] = field(default_factory=list)
    before: dict[str, Callable[[], object]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    over: threading.Event = field(default_factory=threading.Event)

    def pass_on(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], bytes] | None:
        """Return what the server answers; None where nothing comes back."""
        operation = headers.get("X-Amz-Target", "").rpartition(".")[2]
        name = operation or f"{method} {path.partition('?')[0]}"
        self.asked.append(name)
        if name in self.held:
            self.over.wait(SECONDS)
            return None
        if (first := self.before.pop(name, None)) is not None:
            first()
        url = urlsplit(self.target)
        with closing(http.client.HTTPConnection(str(url.hostname), url.port, timeout=SECONDS)) as connection:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            found = answer.status, dict(answer.getheaders()), answer.read()
        if name in self.lost:
            self.lost.remove(name)
            return None
        return found


@contextmanager
def meddler(target: str) -> Iterator[Meddler]:
    """Listen on a port of its own and pass on to `target`, until the end."""
    between = Meddler(target)

    class Handler(BaseHTTPRequestHandler):
        """Passes one request on."""

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65_537)
            self.close_connection = True
            if not (self.raw_requestline and self.parse_request()):
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found = between.pass_on(self.command, self.path, dict(self.headers.items()), body)
            if found is not None:
                self._answer(*found)

        def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
            self.send_response(status)
            for key, value in headers.items():
                if key.lower() not in _NOT_PASSED_ON:
                    self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the server's own name
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        between.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield between
        finally:
            between.over.set()
            server.shutdown()
            thread.join()
